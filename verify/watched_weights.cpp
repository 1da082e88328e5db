#include "verify/watched_weights.h"

#include <utility>

namespace deadray {

namespace {

/// What directions `which` of the K do to one consumer.
class ConsumerTangents final : public LayerHook {
 public:
  void add(std::int64_t direction, const ConsumerMove& move) {
    which_.push_back(direction);
    moves_.push_back(&move);
  }

  at::Tensor operator()(const at::Tensor& input, const at::Tensor& output, const at::Tensor& weight) override {
    ForwardMode& mode = *ForwardMode::current();
    const at::Tensor h = mode.lower(input).value, y = mode.lower(output).value, w = mode.lower(weight).value;
    at::Tensor zero, tangents;
    {
      const ForwardMode::Pause plain;
      std::vector<std::int64_t> shape = y.sizes().vec();
      shape.insert(shape.begin(), mode.directions());
      zero = at::zeros_like(y);
      tangents = at::zeros(shape, y.options());
      for (std::size_t i = 0; i < which_.size(); ++i) {
        const ConsumerMove& move = *moves_[i];
        const at::Tensor u = move.through.defined() ? at::mv(w, move.through.to(y.options())) : move.u.to(y.options());
        const at::Tensor factor = at::matmul(h, move.r.to(y.options())) + move.s;
        at::Tensor tangent = tangents[which_[i]];
        at::mul_out(tangent, factor.unsqueeze(-1), u);
      }
    }
    return output + mode.lift({zero, tangents});
  }

 private:
  std::vector<std::int64_t> which_;
  std::vector<const ConsumerMove*> moves_;
};

/// What a shift of beta does to the output of its norm.
class ShiftTangents final : public LayerHook {
 public:
  void add(std::int64_t direction, at::Tensor shift) { shifts_.emplace_back(direction, std::move(shift)); }

  at::Tensor operator()(const at::Tensor&, const at::Tensor& output, const at::Tensor&) override {
    ForwardMode& mode = *ForwardMode::current();
    const at::Tensor h = mode.lower(output).value;
    at::Tensor zero, tangents;
    {
      const ForwardMode::Pause plain;
      std::vector<std::int64_t> shape = h.sizes().vec();
      shape.insert(shape.begin(), mode.directions());
      zero = at::zeros_like(h);
      tangents = at::zeros(shape, h.options());
      for (const auto& [direction, shift] : shifts_) tangents[direction].copy_(shift.to(h.options()).expand_as(h));
    }
    return output + mode.lift({zero, tangents});
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
    for (const ConsumerMove& move : directions[k].moves) at_name(consumers, move.consumer).add(direction, move);
    if (!directions[k].norm.empty()) at_name(norms, directions[k].norm).add(direction, directions[k].shift);
  }
  for (auto& [name, hook] : consumers) weights.watch(name, std::move(hook));
  for (auto& [name, hook] : norms) weights.watch(name, std::move(hook));
}

MovedWeights::MovedWeights(const Weights& base, const ParameterDirection& direction, double t,
                           const std::function<at::Tensor(const std::string&)>& consumer_weights)
    : WeightsView(base) {
  for (const ConsumerMove& move : direction.moves) {
    const at::Tensor u = move.through.defined() ? at::mv(consumer_weights(move.consumer), move.through) : move.u;
    changes_[move.consumer + ".weight"] = {u, move.r * direction.step_of_weights(t), {}, move.transposed};
    if (move.s != 0.0) changes_[move.consumer + ".bias"] = {{}, {}, u * (t * move.s)};
  }
  if (!direction.norm.empty()) changes_[direction.norm + ".bias"] = {{}, {}, direction.shift * t};
}

const MovedWeights::Change* MovedWeights::find(const TensorSpec& spec, std::int64_t block) const {
  const std::string whole = name(spec.name, block);
  const auto place = changes_.find(base_.stem(spec, block) + whole.substr(whole.rfind('.')));
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
  if (const Change* change = find(spec, -1)) out.addr_(change->u.index_select(0, ids).to(out.options()), change->r.to(out.options()));
}

}  // namespace deadray
