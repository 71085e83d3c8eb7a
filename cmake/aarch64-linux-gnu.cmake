# Programs for arm64.
set(KDK_TRIPLET aarch64-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/debian-toolchain.cmake)
