# cmake -D PROGRAM=test_core -D PREFIX=core. -D LABEL=unit -D CTEST_FILE=out.cmake -P list_suites.cmake
#
# Writes a ctest entry for each suite of a GoogleTest program. gtest_discover_tests() starts a process for
# each test, and loading LibTorch takes longer than most of our tests do.
execute_process(COMMAND "${PROGRAM}" --gtest_list_tests OUTPUT_VARIABLE output
                COMMAND_ERROR_IS_FATAL ANY TIMEOUT 60)
# Suites stand at the start of a line and end in a dot; a typed suite's has a comment after it.
string(REGEX MATCHALL "\n[A-Za-z0-9_/]+\\." suites "\n${output}")
if(NOT suites)
  message(FATAL_ERROR "${PROGRAM} lists no tests")
endif()
set(script "")
foreach(suite IN LISTS suites)
  string(REGEX REPLACE "[\n.]" "" suite "${suite}")
  string(APPEND script
    "add_test([[${PREFIX}${suite}]] [[${PROGRAM}]] [[--gtest_filter=${suite}.*]])\n"
    "set_tests_properties([[${PREFIX}${suite}]] PROPERTIES LABELS [[${LABEL}]] TIMEOUT 1200\n"
    "  SKIP_RETURN_CODE 77 ENVIRONMENT OMP_WAIT_POLICY=passive)\n")
endforeach()
file(WRITE "${CTEST_FILE}" "${script}")
