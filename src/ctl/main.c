// SPDX-License-Identifier: Apache-2.0
#include <locale.h>

#include "ctl.h"

int main(int argc, char *argv[])
{
	// What is a letter, and how wide it is; numbers stay as programs expect them.
	setlocale(LC_CTYPE, "");
	return ctl_main(argc, argv);
}
