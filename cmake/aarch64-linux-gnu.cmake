# Cross toolchain: Debian's g++-aarch64-linux-gnu with the :arm64 -dev packages (multiarch: headers are shared).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
# libfdt-dev is not co-installable for two architectures (no Multi-Arch: same): scripts/deps unpacks the arm64 one here.
list(APPEND CMAKE_LIBRARY_PATH $ENV{HOME}/.cache/kdumpkit/arm64-sysroot/usr/lib/aarch64-linux-gnu)
