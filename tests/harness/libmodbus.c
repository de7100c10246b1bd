/* A Modbus server of libmodbus, for the driver to read: `peer tcp PORT` or `peer rtu DEVICE BAUD UNIT`.
 * Prints "ready" when it takes requests; ends when its standard input is closed. */
#include <errno.h>
#include <modbus.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fill(modbus_mapping_t *map) {
    map->tab_registers[0] = 84;
    map->tab_registers[3] = 0x41AC; /* 21.5, low word first */
    map->tab_registers[10] = 0xFFFF; /* -2468, high word first */
    map->tab_registers[11] = 0xF65C;
    map->tab_bits[7] = 1;
    map->tab_input_bits[3] = 1;
    map->tab_input_registers[100] = 2301;
}

static int answer(modbus_t *ctx, modbus_mapping_t *map) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int size = modbus_receive(ctx, query);
    if (size > 0) {
        return modbus_reply(ctx, query, size, map);
    }
    /* 0: for another unit; these errors: a broken frame, not a closed line. */
    return size == 0 || errno == EMBBADCRC || errno == ETIMEDOUT ? 0 : -1;
}

static int input_closed(struct pollfd *input) {
    return input->revents & (POLLHUP | POLLERR | POLLIN);
}

static void serve_rtu(modbus_t *ctx, modbus_mapping_t *map) {
    struct pollfd ready[2] = {{STDIN_FILENO, POLLIN, 0}, {modbus_get_socket(ctx), POLLIN, 0}};
    while (poll(ready, 2, -1) > 0 && !input_closed(&ready[0])) {
        if (answer(ctx, map) < 0) {
            modbus_flush(ctx);
        }
    }
}

static void serve_tcp(modbus_t *ctx, modbus_mapping_t *map, int listener) {
    struct pollfd ready[3] = {{STDIN_FILENO, POLLIN, 0}, {listener, POLLIN, 0}, {-1, POLLIN, 0}};
    while (poll(ready, 3, -1) > 0 && !input_closed(&ready[0])) {
        if (ready[1].revents) {
            modbus_close(ctx); /* one client at a time, the newest */
            ready[2].fd = modbus_tcp_accept(ctx, &listener);
        } else if (ready[2].revents && answer(ctx, map) < 0) {
            modbus_close(ctx);
            ready[2].fd = -1;
        }
    }
}

int main(int argc, char **argv) {
    int rtu = argc == 5 && strcmp(argv[1], "rtu") == 0;
    if (!rtu && !(argc == 3 && strcmp(argv[1], "tcp") == 0)) {
        return 2;
    }
    modbus_t *ctx = rtu ? modbus_new_rtu(argv[2], atoi(argv[3]), 'N', 8, 1)
                        : modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    modbus_mapping_t *map = modbus_mapping_new(16, 16, 16, 128);
    if (ctx == NULL || map == NULL) {
        return 1;
    }
    fill(map);
    int listener = -1;
    if (rtu) {
        modbus_set_slave(ctx, atoi(argv[4]));
        if (modbus_connect(ctx) < 0) {
            fprintf(stderr, "%s: %s\n", argv[2], modbus_strerror(errno));
            return 1;
        }
    } else if ((listener = modbus_tcp_listen(ctx, 4)) < 0) {
        fprintf(stderr, "%s: %s\n", argv[2], modbus_strerror(errno));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    if (rtu) {
        serve_rtu(ctx, map);
    } else {
        serve_tcp(ctx, map, listener);
    }
    modbus_mapping_free(map);
    modbus_close(ctx);
    modbus_free(ctx);
    return 0;
}
