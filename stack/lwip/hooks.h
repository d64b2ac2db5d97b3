/* Functions that lwIP calls and stack/lwip_hooks.cpp provides. */
#ifndef L4N_LWIP_HOOKS_H
#define L4N_LWIP_HOOKS_H

#include "lwip/arch.h"
#include "lwip/ip_addr.h"

#ifdef __cplusplus
extern "C" {
#endif

u32_t l4n_lwip_isn(const ip_addr_t* local_ip, u16_t local_port, const ip_addr_t* remote_ip, u16_t remote_port);

#ifdef __cplusplus
}
#endif

#endif
