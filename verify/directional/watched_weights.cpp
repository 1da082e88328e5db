#include "verify/directional/watched_weights.h"

#include <ATen/ATen.h>

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

/// What directions do to one consumer's output: u (<r, h> + s); u = W a where it compensates a
/// shift a of beta.
class ConsumerTangents final : public LayerHook {
 public:
  void add(std::int64_t direction, const ConsumerMove& move) {
    moves_.emplace_back(direction, &move);
  }
  void add(std::int64_t direction, const at::Tensor& a, const Compensation& compensation) {
    compensations_.push_back({direction, a, &compensation});
  }

  at::Tensor operator()(const at::Tensor& input, const at::Tensor& output,
                        const at::Tensor& weight) override {
    const ForwardMode& mode = *ForwardMode::current();
    const at::Tensor h = mode.lower(input).value, w = mode.lower(weight).value;
    return add_tangents(output, [&](const at::Tensor& tangents) {
      const auto as = [&](const at::Tensor& values) { return values.to(tangents.options()); };
      const auto put = [&](std::int64_t k, const at::Tensor& u, const at::Tensor& r, double s) {
        at::Tensor tangent = tangents[k];
        at::mul_out(tangent, (at::matmul(h, as(r)) + s).unsqueeze(-1), u);
      };
      for (const auto& [direction, move] : moves_) put(direction, as(move->u), move->r, move->s);
      for (const auto& [direction, a, move] : compensations_)
        put(direction, at::mv(w, as(a)), move->r, move->s);
    });
  }

 private:
  struct OfShift {
    std::int64_t direction;
    at::Tensor a;
    const Compensation* compensation;
  };
  std::vector<std::pair<std::int64_t, const ConsumerMove*>> moves_;
  std::vector<OfShift> compensations_;
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
    if (const auto* move = std::get_if<ConsumerMove>(&directions[k].move)) {
      at_name(consumers, move->consumer).add(direction, *move);
      continue;
    }
    const auto& shift = std::get<BetaShift>(directions[k].move);
    for (const Compensation& one : shift.compensations)
      at_name(consumers, one.consumer).add(direction, shift.a, one);
    if (shift.norm) at_name(norms, *shift.norm).add(direction, shift.a);
  }
  for (auto& [name, hook] : consumers) weights.watch(name, std::move(hook));
  for (auto& [name, hook] : norms) weights.watch(name, std::move(hook));
}

MovedWeights::MovedWeights(const Weights& base, const ParameterDirection& direction, double t,
                           const std::function<at::Tensor(const std::string&)>& consumer_weights)
    : WeightsView(base) {
  const auto move = [&](const auto& how, const at::Tensor& u, double step) {
    changes_[how.consumer + ".weight"] = OuterProduct{u, how.r * step, how.transposed};
    if (how.s != 0.0) changes_[how.consumer + ".bias"] = u * (t * how.s);
  };
  if (const auto* alone = std::get_if<ConsumerMove>(&direction.move)) {
    move(*alone, alone->u, t);
    return;
  }
  const auto& shift = std::get<BetaShift>(direction.move);
  for (const Compensation& one : shift.compensations)
    move(one, at::mv(consumer_weights(one.consumer).cpu(), shift.a), shift.step_of_weights(t));
  if (shift.norm) changes_[*shift.norm + ".bias"] = shift.a * t;
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
  if (const auto* vector = std::get_if<at::Tensor>(change)) {
    out.add_(as(*vector));
    return;
  }
  const auto& [u, r, transposed] = std::get<OuterProduct>(*change);
  if (transposed)
    out.addr_(as(r), as(u));
  else
    out.view({u.size(0), -1}).addr_(as(u), as(r));
}

void MovedWeights::read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const {
  base_.read_rows(spec, ids, out);
  const Change* change = find(spec, -1);
  if (change == nullptr) return;
  const auto& product = std::get<OuterProduct>(*change);
  out.addr_(product.u.index_select(0, ids).to(out.options()), product.r.to(out.options()));
}

}  // namespace deadray
