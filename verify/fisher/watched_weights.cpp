#include "verify/fisher/watched_weights.h"

#include <utility>

namespace deadray {

namespace {

/// `output` with tangents added to those that it carries: fill(tangents [K, ...]) writes them, on
/// plain tensors.
template <typename F>
at::Tensor add_tangents(const at::Tensor& output, F&& fill) {
  ForwardMode& mode = *ForwardMode::current();
  const at::Tensor value = mode.lower(output).value;
  at::Tensor zero, tangents;
  {
    const ForwardMode::Pause plain;
    std::vector<std::int64_t> shape = value.sizes().vec();
    shape.insert(shape.begin(), mode.directions());
    zero = at::zeros_like(value);
    tangents = at::zeros(shape, value.options());
    fill(tangents);
  }
  return output + mode.lift({zero, tangents});
}

/// What directions do to one consumer's output: u (<r, h> + s).
class ConsumerTangents final : public LayerHook {
 public:
  void add(std::int64_t direction, const ConsumerMove& move) {
    moves_.emplace_back(direction, &move);
  }

  at::Tensor operator()(const at::Tensor& input, const at::Tensor& output,
                        const at::Tensor& weight) override {
    const ForwardMode& mode = *ForwardMode::current();
    const at::Tensor h = mode.lower(input).value, w = mode.lower(weight).value;
    return add_tangents(output, [&](const at::Tensor& tangents) {
      const auto as = [&](const at::Tensor& values) { return values.to(tangents.options()); };
      for (const auto& [direction, move] : moves_) {
        const at::Tensor u = move->through.defined() ? at::mv(w, as(move->through)) : as(move->u);
        at::Tensor tangent = tangents[direction];
        at::mul_out(tangent, (at::matmul(h, as(move->r)) + move->s).unsqueeze(-1), u);
      }
    });
  }

 private:
  std::vector<std::pair<std::int64_t, const ConsumerMove*>> moves_;
};

/// What a shift of beta does to the output of its norm.
class ShiftTangents final : public LayerHook {
 public:
  void add(std::int64_t direction, at::Tensor shift) {
    shifts_.emplace_back(direction, std::move(shift));
  }

  at::Tensor operator()(const at::Tensor&, const at::Tensor& output, const at::Tensor&) override {
    return add_tangents(output, [&](const at::Tensor& tangents) {
      for (const auto& [direction, shift] : shifts_)
        tangents[direction].copy_(shift.to(tangents.options()).expand_as(tangents[direction]));
    });
  }

 private:
  std::vector<std::pair<std::int64_t, at::Tensor>> shifts_;
};

}  // namespace

void watch_directions(WatchedWeights& weights, std::span<const ParameterDirection> directions) {
  std::map<std::string, std::unique_ptr<ConsumerTangents>> consumers;
  std::map<std::string, std::unique_ptr<ShiftTangents>> norms;
  const auto at_name = [](auto& of, const std::string& name) -> auto& {
    auto& place = of[name];
    if (!place) place = std::make_unique<std::remove_cvref_t<decltype(*place)>>();
    return *place;
  };
  for (std::size_t k = 0; k < directions.size(); ++k) {
    const auto direction = static_cast<std::int64_t>(k);
    for (const ConsumerMove& move : directions[k].moves)
      at_name(consumers, move.consumer).add(direction, move);
    if (!directions[k].norm.empty())
      at_name(norms, directions[k].norm).add(direction, directions[k].shift);
  }
  for (auto& [name, hook] : consumers) weights.watch(name, std::move(hook));
  for (auto& [name, hook] : norms) weights.watch(name, std::move(hook));
}

MovedWeights::MovedWeights(const Weights& base, const ParameterDirection& direction, double t,
                           const std::function<at::Tensor(const std::string&)>& consumer_weights)
    : WeightsView(base) {
  for (const ConsumerMove& move : direction.moves) {
    const at::Tensor u = move.through.defined()
                             ? at::mv(consumer_weights(move.consumer).cpu(), move.through)
                             : move.u;
    changes_[move.consumer + ".weight"] = {
        u, move.r * direction.step_of_weights(t), {}, move.transposed};
    if (move.s != 0.0) changes_[move.consumer + ".bias"] = {{}, {}, u * (t * move.s)};
  }
  if (!direction.norm.empty()) changes_[direction.norm + ".bias"] = {{}, {}, direction.shift * t};
}

const MovedWeights::Change* MovedWeights::find(const TensorSpec& spec, std::int64_t block) const {
  const std::string whole = name(spec.name, block);
  // Consumers go by the names that are stored, norms by those of the architecture; a checkpoint of
  // other names has both.
  auto place = changes_.find(base_.stem(spec, block) + whole.substr(whole.rfind('.')));
  if (place == changes_.end()) place = changes_.find(whole);
  return place == changes_.end() ? nullptr : &place->second;
}

void MovedWeights::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  base_.read(spec, block, out);
  const Change* change = find(spec, block);
  if (change == nullptr) return;
  const auto as = [&](const at::Tensor& values) { return values.to(out.options()); };
  if (change->vector.defined())
    out.add_(as(change->vector));
  else if (change->transposed)
    out.addr_(as(change->r), as(change->u));
  else
    out.view({change->u.size(0), -1}).addr_(as(change->u), as(change->r));
}

void MovedWeights::read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const {
  base_.read_rows(spec, ids, out);
  if (const Change* change = find(spec, -1))
    out.addr_(change->u.index_select(0, ids).to(out.options()), change->r.to(out.options()));
}

}  // namespace deadray
