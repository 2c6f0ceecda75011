// SPDX-License-Identifier: Apache-2.0
// libmicrohttpd, as a module: it brings GnuTLS and ten libraries more along, for which a daemon without [http] has
// neither time nor memory to spare.
#ifndef TENURE_HTTP_LIBRARY_H
#define TENURE_HTTP_LIBRARY_H

#include "beside.h"

#include <microhttpd.h>

struct http_library {
	const char *version; // TENURE_VERSION
	__typeof__(MHD_start_daemon) *start_daemon;
	__typeof__(MHD_stop_daemon) *stop_daemon;
	__typeof__(MHD_get_daemon_info) *get_daemon_info;
	__typeof__(MHD_run) *run;
	__typeof__(MHD_get_timeout) *get_timeout;
	__typeof__(MHD_get_connection_info) *get_connection_info;
	__typeof__(MHD_create_response_from_buffer) *create_response_from_buffer;
	__typeof__(MHD_add_response_header) *add_response_header;
	__typeof__(MHD_queue_response) *queue_response;
	__typeof__(MHD_destroy_response) *destroy_response;
};

extern const struct http_library http_library MODULE;

#endif
