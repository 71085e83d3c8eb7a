# Helpers for tests/: one line per test program in the folders' lists.
find_package(GTest REQUIRED)
include(GoogleTest)

# kdk_unit_test(NAME SOURCES ... LIBS ...): a gtest program in <build>/bin/tests, label "unit".
function(kdk_unit_test name)
  cmake_parse_arguments(T "" "LABEL" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE ${T_LIBS} GTest::gtest_main kdk_flags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests)
  if(NOT T_LABEL)
    set(T_LABEL unit)
  endif()
  # One ctest entry per program: a test per case would start thousands of processes.
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES LABELS ${T_LABEL} TIMEOUT 300)
endfunction()

# kdk_fuzz_target(NAME LIBS ...): tests/fuzz/.../NAME.cc defines LLVMFuzzerTestOneInput. With KDK_LIBFUZZER it becomes a
# libFuzzer program; otherwise a replay of corpus/NAME/ plus deterministic mutations of it, label "fuzz-replay".
function(kdk_fuzz_target name)
  cmake_parse_arguments(F "" "" "LIBS" ${ARGN})
  add_executable(${name} ${name}.cc)
  target_link_libraries(${name} PRIVATE ${F_LIBS} kdk_flags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/fuzz)
  if(KDK_LIBFUZZER)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_link_libraries(${name} PRIVATE kdk_fuzz_replay)
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
    set_tests_properties(${name} PROPERTIES LABELS fuzz-replay TIMEOUT 300)
  endif()
endfunction()
