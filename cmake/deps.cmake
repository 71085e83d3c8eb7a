# Third-party libraries as imported targets kdk::<name>, so that each folder links only what it is allowed to see.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)

# kdk_library(name header): a plain library found by file, no pkg-config (works the same when cross-compiling).
function(kdk_library name header)
  find_path(KDK_${name}_INCLUDE ${header} REQUIRED)
  find_library(KDK_${name}_LIB NAMES ${name} REQUIRED)
  add_library(kdk::${name} INTERFACE IMPORTED GLOBAL)
  target_include_directories(kdk::${name} SYSTEM INTERFACE ${KDK_${name}_INCLUDE})
  target_link_libraries(kdk::${name} INTERFACE ${KDK_${name}_LIB})
endfunction()
kdk_library(elf libelf.h)
kdk_library(zstd zstd.h)
kdk_library(z zlib.h)
kdk_library(lzo2 lzo/lzo1x.h)
kdk_library(snappy snappy.h)
kdk_library(fdt libfdt.h)
if(KDK_SIGNATURES)
  kdk_library(crypto openssl/cms.h)
endif()
if(KDK_ANALYZE)
  kdk_library(dw elfutils/libdw.h)
endif()
# A static libelf needs the codecs of compressed sections.
target_link_libraries(kdk::elf INTERFACE kdk::z)

# Debian ships no static libfmt: static programs compile it in.
add_library(kdk_fmt INTERFACE)
target_link_libraries(kdk_fmt INTERFACE $<IF:$<BOOL:${KDK_STATIC}>,fmt::fmt-header-only,fmt::fmt>)
