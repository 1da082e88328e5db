#include "host/formats/strided_order.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace deadray::test {
namespace {

using Numbers = std::vector<std::int64_t>;

/// Where each element lies, by loops over all indices.
Numbers places_by_index(const Numbers& shape, const Numbers& strides) {
  Numbers places{0};
  for (std::size_t i = 0; i < shape.size(); ++i) {
    Numbers next;
    for (const std::int64_t place : places)
      for (std::int64_t k = 0; k < shape[i]; ++k) next.push_back(place + k * strides[i]);
    places = next;
  }
  return places;
}

Numbers places_by_rows(const Numbers& shape, const Numbers& strides) {
  const auto rows = strided_rows(shape, strides);
  Numbers places;
  for (std::int64_t i = 0, n = static_cast<std::int64_t>(places_by_index(shape, strides).size());
       i < n; ++i)
    places.push_back(rows ? rows->first(i / rows->length) + i % rows->length * rows->step : i);
  return places;
}

TEST(StridedOrderTest, PutsEveryElementWhereItsStridesSay) {
  for (const Numbers& shape : {Numbers{2, 3, 4}, {1, 5, 2}, {3, 1, 1}, {4, 4, 4}, {2, 0, 3}})
    for (const Numbers& strides : {Numbers{12, 4, 1},
                                   {1, 2, 6},
                                   {4, 1, 0},
                                   {0, 0, 0},
                                   {0, 4, 1},
                                   {20, 2, 1},
                                   {8, 2, 1},
                                   {16, 4, 1},
                                   {7, 7, 7}}) {
      const Numbers expected = places_by_index(shape, strides);
      EXPECT_EQ(places_by_rows(shape, strides), expected);
      std::int64_t last = -1;
      for (const std::int64_t place : expected) last = std::max(last, place);
      EXPECT_EQ(strided_span(shape, strides), last + 1);
    }
}

TEST(StridedOrderTest, NeedsNoOrderWhereElementsFollowOneAnother) {
  EXPECT_EQ(strided_rows(Numbers{2, 3}, Numbers{3, 1}), nullptr);
  EXPECT_EQ(strided_rows(Numbers{2, 1, 3}, Numbers{3, 99, 1}), nullptr);
  EXPECT_EQ(strided_rows(Numbers{}, Numbers{}), nullptr);
  EXPECT_EQ(strided_rows(Numbers{1, 1}, Numbers{5, 7}), nullptr);
  EXPECT_EQ(strided_rows(Numbers{0, 3}, Numbers{1, 9}), nullptr);
  EXPECT_EQ(strided_rows(Numbers{4, 4}, Numbers{8, 1})->length, 4) << "rows of a slice";
}

TEST(StridedOrderTest, ToldWhereNumbersOverflow) {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(strided_span(Numbers{most, 2}, Numbers{0, 0}), std::nullopt);
  EXPECT_EQ(strided_span(Numbers{3}, Numbers{most}), std::nullopt);
  EXPECT_EQ(strided_span(Numbers{2, 2}, Numbers{most, 1}), std::nullopt);
  EXPECT_EQ(strided_span(Numbers{2}, Numbers{most}), std::nullopt);
  EXPECT_EQ(strided_span(Numbers{2}, Numbers{most - 1}), most);
}

}  // namespace
}  // namespace deadray::test
