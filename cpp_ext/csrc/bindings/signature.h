// The schema of an op, read into what the wrappers need of it.
#pragma once

#include <stdexcept>
#include <string>

#include "common/op.h"

namespace cpp_ext {

inline Signature parse_schema(const char* schema) {
  Signature sig{};
  std::string_view text(schema);
  const auto close = text.find(") -> ");
  std::string_view params = text.substr(1, close - 1);
  while (!params.empty()) {
    const auto comma = params.find(", ");
    const std::string_view item = params.substr(0, comma);
    params = comma == std::string_view::npos ? std::string_view{} : params.substr(comma + 2);
    const auto space = item.find(' ');
    const std::string_view type = item.substr(0, space);
    const Kind kind = type == "Tensor" ? Kind::tensor : type == "float" ? Kind::real : Kind::integer;
    if (type != "Tensor" && type != "float" && type != "int" && type != "bool")
      throw std::logic_error("unsupported type in schema " + std::string(schema));
    sig.param[sig.params++] = {kind, item.substr(space + 1)};
    if (kind == Kind::tensor) {
      sig.tensor[sig.tensors++] = item.substr(space + 1);
    } else {
      ++sig.scalars;
    }
  }
  for (auto at = text.find("Tensor", close); at != std::string_view::npos; at = text.find("Tensor", at + 1))
    ++sig.outputs;
  return sig;
}

}  // namespace cpp_ext
