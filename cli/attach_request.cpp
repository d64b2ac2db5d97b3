#include "cli/attach_request.hpp"

namespace l4n::cli {

netns::AttachRequest attach_request(const Options& options) {
  netns::AttachRequest request;
  request.target.kind =
      options.netns_type == cli::NetnsType::path ? netns::Target::Kind::path : netns::Target::Kind::pid;
  request.target.pid = options.pid;
  request.target.netns_path = options.netns_path;
  request.target.userns_path = options.userns_path;
  request.tap_name = options.tapname;
  if (options.configure) {
    netns::InterfaceConfig config;
    config.mac = options.macaddress;
    config.mtu = static_cast<unsigned>(options.mtu);
    config.addresses.push_back({options.cidr.host(100), options.cidr.prefix});
    config.gateways.emplace_back(options.cidr.host(2));
    request.configure = config;
  }
  return request;
}

}  // namespace l4n::cli
