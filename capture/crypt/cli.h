// The commands around sealed dumps: keygen, decrypt.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace kdk {

// `chosen` is set to what is to be done when one of them was given; it returns the exit code.
void add_crypt_commands(CLI::App& app, std::function<int()>& chosen);

}  // namespace kdk
