# A Debian toolchain for the architecture of KDK_TRIPLET, given by the file that includes this one: g++-<triplet> with
# the -dev packages of that architecture (multiarch: headers are shared). Works as well when it is the host's own.
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR ${KDK_TRIPLET})
set(CMAKE_C_COMPILER ${KDK_TRIPLET}-gcc)
set(CMAKE_CXX_COMPILER ${KDK_TRIPLET}-g++)
set(CMAKE_LIBRARY_ARCHITECTURE ${KDK_TRIPLET})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/${KDK_TRIPLET}/pkgconfig:/usr/share/pkgconfig)
# libfdt-dev is not co-installable for two architectures (no Multi-Arch: same): scripts/deps unpacks the other one here.
if(DEFINED ENV{KDUMPKIT_CACHE})
  set(KDK_CACHE $ENV{KDUMPKIT_CACHE})
else()
  set(KDK_CACHE $ENV{HOME}/.cache/kdumpkit)
endif()
list(APPEND CMAKE_LIBRARY_PATH ${KDK_CACHE}/sysroot/usr/lib/${KDK_TRIPLET})
