#include "cli/attach_request.hpp"

#include "nat/guest_addresses.hpp"
#include "nat/policy.hpp"

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
    config.addresses.push_back({nat::guest_address(options.cidr), options.cidr.prefix});
    config.gateways.emplace_back(options.cidr.host(2));
    if (options.enable_ipv6) {
      config.addresses.push_back({nat::guest_address(options.cidr6), options.cidr6.prefix});
      config.gateways.emplace_back(nat::kRouterAddress);
    }
    request.configure = config;
  }
  return request;
}

}  // namespace l4n::cli
