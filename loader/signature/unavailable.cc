// check-image in a program that was built without OpenSSL (KDK_SIGNATURES=OFF): it says so and where to go.
#include "loader/signature/check_image.h"

namespace kdk {

const bool can_check_images = false;

ImageCheck check_image(const CheckImageOptions&) {
  throw Error(Errc::unsupported, "this kdump-load is built without signature checks")
      .with_hint("use one built with -DKDK_SIGNATURES=ON, the default of dynamically linked programs");
}

std::string image_check_to_text(const ImageCheck&) {
  return "";
}
std::string image_check_to_json(const ImageCheck&) {
  return "";
}

}  // namespace kdk
