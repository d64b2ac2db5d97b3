// A resolv.conf of the command's own, in its mount namespace only: the host's files are never changed.
//
// Bound over the file that /etc/resolv.conf leads to, through however many links. Where it leads nowhere (a
// dangling link, no such name), /etc itself is covered by a directory that has all of its entries and ours.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <utility>

#include "netns/sys/fd.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

class ResolvMount {
 public:
  // Makes the file, out of sight. To be called in a mount namespace from which nothing propagates, before
  // anyone else lives there.
  [[nodiscard]] static sys::Result<ResolvMount> create(const std::string& text);

  // Puts it in place. May be called again: when the host replaces its file by a rename, as most of its
  // writers do, the kernel takes what was mounted on the old one away.
  [[nodiscard]] sys::Result<void> put_in_place() const;

  // Whether /etc/resolv.conf is ours, with whatever its users have written into it.
  [[nodiscard]] bool in_place() const;

  // What has to stay open.
  [[nodiscard]] std::array<int, 2> descriptors() const noexcept { return {root_.get(), file_.get()}; }

 private:
  ResolvMount(sys::Fd root, sys::Fd file, dev_t dev, ino_t ino) noexcept
      : root_(std::move(root)), file_(std::move(file)), dev_(dev), ino_(ino) {}
  [[nodiscard]] sys::Result<void> cover_etc() const;

  sys::Fd root_;  // of our file system
  sys::Fd file_;
  dev_t dev_;
  ino_t ino_;
};

}  // namespace l4n::netns
