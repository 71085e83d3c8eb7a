// PE headers, certificate table and the PKCS#7 messages in it.
#include <cstdlib>

#include "loader/image/layers.h"
#include "loader/signature/appended_signature.h"
#include "loader/signature/pe_image.h"
#include "loader/signature/signed_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  Bytes file(data, size);
  try {
    if (std::optional<PeImage> pe = parse_pe_image(file)) {
      uint64_t digested = 0;
      for (Bytes part : pe->digested) {
        bool inside = part.empty() || (part.data() >= data && part.data() + part.size() <= data + size);
        if (!inside) std::abort();
        digested += part.size();
      }
      // Sections may overlap, each byte of the headers is digested once.
      if (digested < pe->headers_size - 12) std::abort();
      for (const PeCertificate& entry : pe->certificates) {
        if (entry.content.data() < data || entry.content.data() + entry.content.size() > data + size)
          std::abort();
        try {
          parse_authenticode_message(entry.content);
        } catch (const Error&) {
        }
      }
    }
  } catch (const Error&) {
  }
  open_image_layers({data, data + size});
  return 0;
}
