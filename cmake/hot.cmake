# kdk_hot(SOURCE...): files with a loop over every page or name of a dump. Static programs are built for size, where the
# compiler leaves such loops byte by byte (a test for zero takes 2.5 times as long); these are built for speed there, too.
function(kdk_hot)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:MinSizeRel>:-O2>)
endfunction()
