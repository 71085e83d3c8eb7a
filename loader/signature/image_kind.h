// The kinds of images that kexec_file_load takes. Architectures are rows of a table.
#pragma once

#include <string_view>

#include "loader/image/layers.h"

namespace kdk {

struct ImageKind {
  std::string_view name;
  std::string_view architecture;   // the option of kernels that load it
  std::string_view verify_option;  // the one that makes them look at its PE signature
};

// nullptr: kexec_file_load takes no such image.
const ImageKind* find_image_kind(ImageFormat format);

}  // namespace kdk
