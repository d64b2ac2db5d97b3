/* lwIP's view of the compiler and the platform. */
#ifndef L4N_LWIP_ARCH_CC_H
#define L4N_LWIP_ARCH_CC_H

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>

/* endian.h has defined BYTE_ORDER, LITTLE_ENDIAN and BIG_ENDIAN. */
#if BYTE_ORDER == LITTLE_ENDIAN
#define lwip_htons(x) ((u16_t)__builtin_bswap16((u16_t)(x)))
#define lwip_htonl(x) ((u32_t)__builtin_bswap32((u32_t)(x)))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A broken invariant of lwIP: prints and aborts, because going on could corrupt memory. */
void l4n_lwip_assert(const char* message, const char* file, int line) __attribute__((noreturn, cold));
uint32_t l4n_lwip_random(void);

#ifdef __cplusplus
}
#endif

#define LWIP_PLATFORM_ASSERT(message) l4n_lwip_assert(message, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(message)
#define LWIP_RAND() l4n_lwip_random()

#endif
