# Sets LWIP_DIR to an unpacked lwIP 2.2.1 (the directory that contains src/). Never writes to the source tree.
#
# The first of these that works:
#   1. -DLWIP_DIR=PATH          a directory that the user has
#   2. LWIP_CACHE_DIR           the archive from an earlier run (default $XDG_CACHE_HOME/lwip4netns, ~/.cache/lwip4netns)
#   3. apt                      Debian's source package by the machine's own apt configuration; kept in the cache
#   4. git                      the upstream release, by FetchContent at a fixed commit
# An archive with a wrong checksum is an error, never a reason to go on to the next.
#
# Debian's archive and the upstream tag have identical src/ trees. What is unpacked is remembered in the build
# directory, so configuring again costs nothing.

set(LWIP_DIR "" CACHE PATH "Unpacked lwIP 2.2.1 (the directory with src/); empty: fetch it")

if(DEFINED ENV{XDG_CACHE_HOME} AND IS_ABSOLUTE "$ENV{XDG_CACHE_HOME}")
  set(_lwip_cache_default "$ENV{XDG_CACHE_HOME}/lwip4netns")
elseif(IS_ABSOLUTE "$ENV{HOME}")
  set(_lwip_cache_default "$ENV{HOME}/.cache/lwip4netns")
else()
  set(_lwip_cache_default "${CMAKE_BINARY_DIR}/_deps/lwip-cache")
endif()
set(LWIP_CACHE_DIR "${_lwip_cache_default}" CACHE PATH "Where the archive of lwIP's source is kept between builds")
mark_as_advanced(LWIP_DIR LWIP_CACHE_DIR)

set(_lwip_archive lwip_2.2.1+dfsg1.orig.tar.xz)
set(_lwip_sha256 83729c274c499d3348e9fbbe043a3113f3fa8953e7efddc7c21c7fcbb1f2b7b1)
set(_lwip_release trixie) # by name: the package's own version changes with every point release
set(_lwip_git https://github.com/lwip-tcpip/lwip.git)
set(_lwip_commit 77dcd25a72509eb83f72b033d219b1d40cd8eb95) # STABLE-2_2_1_RELEASE
set(_lwip_script "${CMAKE_CURRENT_LIST_DIR}/fetch-debian-source.sh")

# Stops unless `file` has the checksum that we know. `hint` tells what to do about it.
function(_lwip_check_archive file hint)
  file(SHA256 "${file}" actual)
  if(NOT actual STREQUAL _lwip_sha256)
    message(FATAL_ERROR "Wrong checksum of ${file}\n  expected SHA-256 ${_lwip_sha256}\n  actual   SHA-256 ${actual}\n${hint}")
  endif()
endfunction()

# Stops unless `directory` holds lwIP 2.2.1: our glue reaches into lwip/priv, which no version promises to keep.
function(_lwip_check_directory directory)
  set(header "${directory}/src/include/lwip/init.h")
  if(NOT EXISTS "${header}")
    message(FATAL_ERROR "LWIP_DIR: no lwIP source in ${directory} (src/include/lwip/init.h is missing)")
  endif()
  set(version)
  foreach(part MAJOR MINOR REVISION)
    file(STRINGS "${header}" line REGEX "^#define LWIP_VERSION_${part} +[0-9]+" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+$" number "${line}")
    list(APPEND version "${number}")
  endforeach()
  list(JOIN version "." version)
  if(NOT version STREQUAL "2.2.1")
    message(FATAL_ERROR "LWIP_DIR: ${directory} holds lwIP ${version}, but 2.2.1 is needed")
  endif()
endfunction()

# Downloads the archive through apt into the cache, or warns why it could not.
function(_lwip_fetch_by_apt cached)
  set(staging "${CMAKE_BINARY_DIR}/_deps/lwip-download")
  file(MAKE_DIRECTORY "${staging}")
  message(STATUS "lwIP: fetching Debian's source package (lwip/${_lwip_release}) through apt")
  execute_process(
    COMMAND "${_lwip_script}" lwip "${_lwip_release}" "${_lwip_archive}" "${staging}"
    RESULT_VARIABLE result ERROR_VARIABLE errors OUTPUT_QUIET ERROR_STRIP_TRAILING_WHITESPACE)
  if(NOT result EQUAL 0)
    message(WARNING "lwIP: not available through apt:\n${errors}")
    return()
  endif()
  _lwip_check_archive("${staging}/${_lwip_archive}" "The package archive delivered something else; refusing to use it.")
  # Renaming is atomic: whoever configures at the same time finds the whole archive or none.
  get_filename_component(directory "${cached}" DIRECTORY)
  file(MAKE_DIRECTORY "${directory}")
  string(RANDOM suffix)
  file(COPY_FILE "${staging}/${_lwip_archive}" "${cached}.${suffix}")
  file(RENAME "${cached}.${suffix}" "${cached}")
  file(REMOVE_RECURSE "${staging}")
endfunction()

# Unpacks the archive to `directory`.
function(_lwip_unpack archive directory)
  set(unpacked "${directory}.unpack")
  file(REMOVE_RECURSE "${unpacked}" "${directory}")
  file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${unpacked}")
  file(GLOB top LIST_DIRECTORIES true "${unpacked}/*")
  file(RENAME "${top}" "${directory}") # the archive has one directory at its top
  file(REMOVE_RECURSE "${unpacked}")
  _lwip_check_directory("${directory}")
  file(WRITE "${directory}/.sha256" "${_lwip_sha256}") # last: it says that all before went well
endfunction()

# Clones the upstream release; sets `out` to its directory.
function(_lwip_fetch_by_git out)
  message(STATUS "lwIP: fetching the upstream release by git")
  find_package(Git QUIET)
  if(NOT GIT_FOUND)
    message(FATAL_ERROR "lwIP: no source found. Give one with -DLWIP_DIR=PATH, or install git.")
  endif()
  include(FetchContent)
  set(FETCHCONTENT_BASE_DIR "${CMAKE_BINARY_DIR}/_deps")
  # The directory named by SOURCE_SUBDIR does not exist, so lwIP's own CMakeLists.txt is left alone.
  FetchContent_Declare(lwip_upstream GIT_REPOSITORY "${_lwip_git}" GIT_TAG "${_lwip_commit}" SOURCE_SUBDIR none)
  FetchContent_MakeAvailable(lwip_upstream)
  set(${out} "${lwip_upstream_SOURCE_DIR}" PARENT_SCOPE)
endfunction()

if(LWIP_DIR)
  _lwip_check_directory("${LWIP_DIR}")
else()
  set(_lwip_unpacked "${CMAKE_BINARY_DIR}/_deps/lwip-src")
  set(_lwip_cached "${LWIP_CACHE_DIR}/${_lwip_archive}")
  set(_lwip_stamp)
  if(EXISTS "${_lwip_unpacked}/.sha256")
    file(READ "${_lwip_unpacked}/.sha256" _lwip_stamp)
  endif()
  if(_lwip_stamp STREQUAL _lwip_sha256)
    set(LWIP_DIR "${_lwip_unpacked}")
  else()
    # A clone of an earlier run is used on: trying apt once more would only cost time.
    if(NOT EXISTS "${_lwip_cached}" AND NOT EXISTS "${CMAKE_BINARY_DIR}/_deps/lwip_upstream-src")
      _lwip_fetch_by_apt("${_lwip_cached}")
    endif()
    if(EXISTS "${_lwip_cached}")
      _lwip_check_archive("${_lwip_cached}" "Remove that file to have it fetched again.")
      _lwip_unpack("${_lwip_cached}" "${_lwip_unpacked}")
      set(LWIP_DIR "${_lwip_unpacked}")
    else()
      _lwip_fetch_by_git(LWIP_DIR)
      _lwip_check_directory("${LWIP_DIR}")
    endif()
    message(STATUS "lwIP: ${LWIP_DIR}")
  endif()
endif()
