# Programs for x86-64.
set(KDK_TRIPLET x86_64-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/debian-toolchain.cmake)
