// SPDX-License-Identifier: Apache-2.0
#include "http_library.h"

const struct http_library http_library = {
	.version = TENURE_VERSION,
	.start_daemon = MHD_start_daemon,
	.stop_daemon = MHD_stop_daemon,
	.get_daemon_info = MHD_get_daemon_info,
	.run = MHD_run,
	.get_timeout = MHD_get_timeout,
	.get_connection_info = MHD_get_connection_info,
	.create_response_from_buffer = MHD_create_response_from_buffer,
	.add_response_header = MHD_add_response_header,
	.queue_response = MHD_queue_response,
	.destroy_response = MHD_destroy_response,
};
