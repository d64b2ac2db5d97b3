#include "tests/integration/support/world.hpp"

#include <doctest/doctest.h>
#include <sys/epoll.h>

#include <algorithm>

namespace l4n::integration {
namespace {

// Far more turns than any test needs in one moment.
constexpr unsigned kMostTurns = 2'000'000;

nat::Gateway::Config config_of(const WorldOptions& options) {
  nat::Gateway::Config config;
  config.policy = options.policy;
  config.mtu = options.mtu;
  config.limits = options.limits;
  return config;
}

}  // namespace

World::World(const WorldOptions& options) : port(options.vnet, options.mtu, options.cuts_udp) {
  const nat::Gateway::Environment environment{timers, graveyard, clock, log, port, host};
  gateway = std::make_unique<nat::Gateway>(environment, config_of(options));
}

World::~World() {
  port.set_fates_to_guest({});
  port.set_fates_to_gateway({});
  port.set_full(false);
  host.release_all();
  advance(std::chrono::milliseconds(200));  // until delayed acknowledgments are out
  for (const auto& peer : peers_) {
    if (peer->established()) {
      peer->reset();
    }
    peer->vanish();
  }
  // Connects without an answer, unanswered SYN-ACKs and questions to silent servers all have their time.
  const bool has_udp = gateway != nullptr && gateway->udp().flows() > 0;
  advance(has_udp ? std::chrono::minutes(5) : std::chrono::minutes(2));
  if (gateway != nullptr) {
    CHECK(flows() == 0);
    CHECK(gateway->udp().flows() == 0);
    CHECK(gateway->icmp().flows() == 0);
    CHECK(gateway->reassembly().pending() == 0);
    CHECK(gateway->reassembly().bytes() == 0);
    CHECK(buffers() == 0);
    CHECK(gateway->dns().pending() == 0);
    CHECK(gateway->guest_tcp().ticking() == 0);
    stop_gateway();
  }
  CHECK(timers.armed_count() == 0);
  CHECK(host.open_sockets() == 0);
  CHECK(port.incomplete() == 0);
}

GuestPeer& World::peer(const PeerOptions& options) {
  const auto send = [this](sys::Bytes frame, const stack::VnetHeader& vnet) { port.inject(frame, vnet); };
  peers_.push_back(std::make_unique<GuestPeer>(clock, send, port.has_vnet_header(), options));
  GuestPeer* peer = peers_.back().get();
  peer_of_[{options.local.port, options.remote.address, options.remote.port}] = peer;
  return *peer;
}

GuestPeer& World::connect(const PeerOptions& options) {
  GuestPeer& guest = peer(options);
  guest.connect();
  settle();
  CHECK(guest.established());
  return guest;
}

void World::stop_gateway() {
  gateway.reset();
  graveyard.clear();
  deliver_to_guest();
}

void World::inject_ip(sys::Bytes packet) { port.inject(ip_frame(packet)); }

void World::inject_fragmented(sys::Bytes packet) {
  for (const Data& piece : fragment(packet, port.mtu())) {
    inject_ip(piece);
  }
}

void World::send_udp(const sys::Endpoint& to, sys::Bytes payload, const UdpSender& sender) {
  inject_fragmented(udp_packet(sender.local.address, to.address,
                               {sender.local.port, to.port, {payload.begin(), payload.end()}}, sender.ip));
}

void World::turn() {
  host.deliver_events();
  if (gateway == nullptr) {
    return;
  }
  if (port.readable()) {
    gateway->on_event(EPOLLIN);
  }
  timers.run_due();
  more_ = gateway->on_turn_end();
  graveyard.clear();
}

bool World::deliver_to_guest() {
  bool any = false;
  while (auto packet = port.take()) {
    any = true;
    if (packet->tcp) {
      const auto found =
          peer_of_.find({packet->tcp->destination_port, packet->source, packet->tcp->source_port});
      if (found != peer_of_.end()) {
        found->second->on_segment(*packet->tcp);
        continue;
      }
    }
    others.push_back(*std::move(packet));
  }
  return any;
}

void World::settle() {
  for (unsigned i = 0; i < kMostTurns; ++i) {
    turn();
    const bool moved = deliver_to_guest();
    if (gateway == nullptr || (!moved && !more_ && !port.readable() && !host.has_events())) {
      return;
    }
  }
  FAIL("the loop never comes to rest");
}

sys::Time World::next_deadline(sys::Time limit) const {
  sys::Time next = std::min(limit, timers.next_deadline().value_or(limit));
  for (const auto& peer : peers_) {
    next = std::min(next, peer->deadline().value_or(next));
  }
  return next;
}

void World::step_time(sys::Time limit) {
  const sys::Time next = next_deadline(limit);
  if (next > clock.now()) {
    clock.advance(next - clock.now());
  }
  for (const auto& peer : peers_) {
    peer->on_time(clock.now());
  }
  settle();
}

void World::advance(sys::Duration duration) {
  settle();
  const sys::Time end = clock.now() + duration;
  while (clock.now() < end) {
    step_time(end);
  }
}

std::vector<Packet> World::icmp() const {
  std::vector<Packet> found;
  std::copy_if(others.begin(), others.end(), std::back_inserter(found),
               [](const Packet& packet) { return packet.icmp.has_value(); });
  return found;
}

std::vector<GuestDatagram> World::datagrams() const {
  std::vector<GuestDatagram> found;
  for (const Packet& packet : others) {
    if (!packet.udp) {
      continue;
    }
    for (Data& payload : cut(packet.udp->payload, packet.vnet.gso_size)) {
      found.push_back({{packet.source, packet.udp->source_port},
                       {packet.destination, packet.udp->destination_port},
                       std::move(payload)});
    }
  }
  return found;
}

}  // namespace l4n::integration
