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
    const auto space = item.find(' '), equals = item.find('=');
    const std::string_view type = item.substr(0, space);
    Param& param = sig.param[sig.params++];
    param.name = item.substr(space + 1, equals == std::string_view::npos ? equals : equals - space - 1);
    param.default_value = equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    param.optional = type == "Tensor?";
    param.written = type.starts_with("Tensor(");
    if (type.starts_with("Tensor")) {
      param.kind = Kind::tensor;
      sig.tensor[sig.tensors++] = param;
      sig.writes |= param.written;
    } else {
      if (type != "float" && type != "int" && type != "bool")
        throw std::logic_error("unsupported type in schema " + std::string(schema));
      param.kind = type == "float" ? Kind::real : type == "int" ? Kind::integer : Kind::boolean;
      ++sig.scalars;
    }
  }
  for (auto at = text.find("Tensor", close); at != std::string_view::npos; at = text.find("Tensor", at + 1))
    ++sig.outputs;
  return sig;
}

}  // namespace cpp_ext
