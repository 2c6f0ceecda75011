// SPDX-License-Identifier: Apache-2.0
// The page for people at /: one document without a script, that needs nothing from elsewhere.
#include "http_internal.h"

#include <inttypes.h>
#include <time.h>

#define DAY_MS INT64_C(86400000)
// A hand-over is no time without a leader.
#define GAP_MS 1000
// Nodes that have a colour of their own.
#define COLOURS 8
// Of a term's mark at the least, in minutes: a pixel or so.
#define MARK_MINUTES 3.0
#define DAY_MINUTES 1440.0

// What the policy of http_page_make() names by its hash: test_page.py has it.
static const char style[] =
	":root{color-scheme:light "
	"dark;--page:#f4f5f7;--card:#fff;--ink:#1b2330;--dim:#5d6879;--line:#dde2e9;--red:#c2181b;"
	"--redbg:#fdeaea;--amber:#7a4f00;--amberbg:#fff3d1;--green:#11734f;--off:#d92d2f;--none:#e6e9ee;--n0:#2f6fde;--"
	"n1:#0e9384;"
	"--n2:#d97d1c;--n3:#8250df;--n4:#5b9417;--n5:#c03f8d;--n6:#80603f;--n7:#3a8bb5;--nx:#8b95a5}"
	"@media(prefers-color-scheme:dark){:root{--page:#10141a;--card:#181e27;--ink:#e4e8ee;--dim:#98a3b3;"
	"--line:#2b3442;--red:#ff8078;--redbg:#3a1719;--amber:#f1c361;--amberbg:#362a10;--green:#5ccf9f;--off:#e23b3f;-"
	"-none:#2a323e;"
	"--n0:#6ea2ff;--n1:#3fc7b5;--n2:#f0a352;--n3:#b595ff;--n4:#97cf57;--n5:#ee86c3;--n6:#c19d78;--n7:#79c1e6;"
	"--nx:#7f8a9a}}"
	"*{box-sizing:border-box}"
	"body{margin:0 auto;max-width:80rem;padding:1.25rem;font:15px/1.45 system-ui,sans-serif;background:var(--page);"
	"color:var(--ink)}"
	"header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem 1.2rem;margin-bottom:1rem}"
	"h1{font-size:1.35rem;margin:0}h1 span{color:var(--dim);font-weight:400}"
	"header p{margin:0;color:var(--dim)}"
	".note{margin:0 0 1rem;padding:.6rem .9rem;border-radius:8px;background:var(--amberbg);color:var(--amber);"
	"overflow-wrap:anywhere}"
	".alarm{background:var(--redbg);color:var(--red)}"
	"table{width:100%;border-spacing:0;background:var(--card);border:1px solid var(--line);border-radius:8px;"
	"overflow:hidden}"
	"th{font-size:.8rem;font-weight:600;color:var(--dim);text-align:left;white-space:nowrap}"
	"th,td{padding:.55rem .8rem;vertical-align:top}"
	"tbody td{border-top:1px solid var(--line);overflow-wrap:anywhere}"
	"td.number{font-variant-numeric:tabular-nums;white-space:nowrap}"
	"td.name{font-weight:600}"
	"small{display:block;color:var(--dim);font-size:.8rem;font-weight:400}"
	"tr.gone td{background:var(--redbg)}tr.gone .leader{color:var(--red);font-weight:600}"
	".ours{color:var(--green)}"
	"i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.45em}"
	".day{width:34%;min-width:14rem}"
	".day span{display:flex;justify-content:space-between}"
	"svg{display:block;width:100%;height:1.5rem;border-radius:4px;background:var(--none)}"
	"path{stroke:var(--card);opacity:.55;vector-effect:non-scaling-stroke}"
	".off{fill:var(--off)}"
	".n0{fill:var(--n0);background:var(--n0)}.n1{fill:var(--n1);background:var(--n1)}"
	".n2{fill:var(--n2);background:var(--n2)}.n3{fill:var(--n3);background:var(--n3)}"
	".n4{fill:var(--n4);background:var(--n4)}.n5{fill:var(--n5);background:var(--n5)}"
	".n6{fill:var(--n6);background:var(--n6)}.n7{fill:var(--n7);background:var(--n7)}"
	".nx{fill:var(--nx);background:var(--nx)}"
	"footer{margin-top:.9rem;color:var(--dim);font-size:.85rem;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem}"
	".none{background:var(--none)}i.off{background:var(--off)}"
	"@media(max-width:48rem){body{padding:.8rem}thead{display:none}table{background:none;border:0}"
	"table,tbody,tr,td{display:block}"
	"tr{background:var(--card);border:1px solid var(--line);border-radius:8px;margin-bottom:.8rem;overflow:hidden}"
	"td,tbody td{border:0;padding:.25rem .8rem;display:flex;gap:1rem}"
	"td::before{content:attr(title);flex:0 0 6.5rem;color:var(--dim);font-weight:400}"
	"td.name{padding-top:.7rem;font-size:1.1rem}td.name::before{content:none}"
	"td.day{width:auto;display:block;padding:.4rem .8rem .8rem}td.day::before{display:block;padding-bottom:.3rem}}";

const char http_overview_policy[] =
	"default-src 'none'; style-src 'sha256-xU1j3CbBWqLlNoKx0C2/YN5PO4qCyivY0pJ9kn40NPk='; base-uri 'none'; "
	"form-action 'none'; frame-ancestors 'none'";

struct overview {
	FILE *out;
	const struct http_setup *setup;
	int64_t now;
	int64_t wall_ms;
	const char *node;           // this one
	const char *nodes[COLOURS]; // sorted, so that a node keeps its colour
	size_t node_count;
	bool more_nodes;
	uint32_t shown, led_here, leaderless;
};

// ---- words ----

// Names come from the database and from other nodes.
static void put_text(FILE *out, const char *text)
{
	static const char special[] = "&<>\"'";
	static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
	for (; *text != '\0'; text++) {
		const char *found = strchr(special, *text);
		if (found)
			fputs(entities[found - special], out);
		else
			fputc(*text, out);
	}
}

static void put_duration(FILE *out, int64_t ms)
{
	int64_t s = ms / 1000, minutes = s / 60, hours = minutes / 60, days = hours / 24;
	if (days > 0)
		fprintf(out, "%" PRId64 " d %" PRId64 " h", days, hours % 24);
	else if (hours > 0)
		fprintf(out, "%" PRId64 " h %" PRId64 " min", hours, minutes % 60);
	else if (minutes > 0)
		fprintf(out, "%" PRId64 " min %" PRId64 " s", minutes, s % 60);
	else
		fprintf(out, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
}

static void put_time(FILE *out, int64_t unix_ms, const char *format)
{
	char text[64];
	struct tm parts;
	time_t seconds = (time_t)(unix_ms / 1000);
	if (gmtime_r(&seconds, &parts) && strftime(text, sizeof text, format, &parts) > 0)
		fputs(text, out);
}

// ---- colours ----

static void add_node(struct overview *o, const char *node)
{
	size_t at = 0;
	while (at < o->node_count && strcmp(o->nodes[at], node) < 0)
		at++;
	if (*node == '\0' || (at < o->node_count && strcmp(o->nodes[at], node) == 0))
		return;
	o->more_nodes |= o->node_count == COLOURS;
	if (at == COLOURS)
		return;
	o->node_count += o->node_count < COLOURS;
	for (size_t i = o->node_count - 1; i > at; i--)
		o->nodes[i] = o->nodes[i - 1];
	o->nodes[at] = node;
}

static char colour_of(const struct overview *o, const char *node)
{
	for (size_t i = 0; i < o->node_count; i++)
		if (strcmp(o->nodes[i], node) == 0)
			return (char)('0' + i);
	return 'x';
}

// ---- the last day ----

static double minutes_of(const struct overview *o, int64_t unix_ms)
{
	int64_t ms = unix_ms - (o->wall_ms - DAY_MS);
	return (double)(ms < 0 ? 0 : ms > DAY_MS ? DAY_MS : ms) / 60000;
}

static void put_bar(const struct overview *o, int64_t from_ms, int64_t to_ms)
{
	double from = minutes_of(o, from_ms), width = minutes_of(o, to_ms) - from;
	if (width < MARK_MINUTES) {
		width = MARK_MINUTES;
		from = from < DAY_MINUTES - MARK_MINUTES ? from : DAY_MINUTES - MARK_MINUTES;
	}
	fprintf(o->out, "x=\"%.1f\" width=\"%.1f\" height=\"12\"", from, width);
}

static void put_gap(const struct overview *o, int64_t from_ms, int64_t to_ms)
{
	if (to_ms - from_ms < GAP_MS || to_ms < o->wall_ms - DAY_MS)
		return;
	fputs("<rect class=\"off\" ", o->out);
	put_bar(o, from_ms, to_ms);
	fputs("><title>nobody for ", o->out);
	put_duration(o->out, to_ms - from_ms);
	fputs(", until ", o->out);
	put_time(o->out, to_ms, "%H:%M:%S UTC");
	fputs("</title></rect>\n", o->out);
}

static void put_past(const struct overview *o, const struct exchange_past *past, int64_t to_ms)
{
	if (to_ms < o->wall_ms - DAY_MS)
		return;
	fprintf(o->out, "<rect class=\"n%c\" ", colour_of(o, past->node));
	put_bar(o, past->from_ms, to_ms);
	fputs("><title>", o->out);
	put_text(o->out, past->node);
	fprintf(o->out, ", term %" PRIu64 ", since ", past->term);
	put_time(o->out, past->from_ms, "%Y-%m-%d %H:%M:%S UTC");
	fputs(", for ", o->out);
	put_duration(o->out, to_ms > past->from_ms ? to_ms - past->from_ms : 0);
	if (past->to_ms != 0) {
		fputs(": ", o->out);
		put_text(o->out, past->reason);
	}
	fputs("</title></rect>\n", o->out);
}

static const struct exchange_past *next_past(const struct overview *o, uint32_t lease, size_t *i)
{
	const struct history *history = o->setup->history;
	while (*i < history->count && history->past[*i].lease != lease)
		++*i;
	return *i < history->count ? &history->past[(*i)++] : NULL;
}

// `ended_ms`: since when nobody leads; 0: somebody does. The history says when a leader was replaced, not when it was
// gone, and it is older than what is known of now.
static void put_timeline(const struct overview *o, uint32_t lease, int64_t ended_ms)
{
	uint32_t head = o->setup->election->leases[lease].head;
	size_t i = 0, gap = 0;
	const struct exchange_past *past = next_past(o, head, &i);
	if (!past) {
		fputs(o->setup->history->read_at == 0 ? "<small>the history is being read</small>"
						      : "<small>no history</small>",
			o->out);
		return;
	}
	fputs("<svg viewBox=\"0 0 1440 12\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"the last 24 "
	      "hours\">\n",
		o->out);
	int64_t open_ms = ended_ms != 0 ? ended_ms : o->wall_ms;
	for (; past; past = next_past(o, head, &i))
		put_past(o, past, past->to_ms != 0 ? past->to_ms : open_ms);
	int64_t next_ms = ended_ms != 0 ? o->wall_ms : 0;
	while ((past = next_past(o, head, &gap))) {
		put_gap(o, past->to_ms != 0 ? past->to_ms : open_ms, next_ms);
		next_ms = past->from_ms;
	}
	fputs("<path d=\"M360 0V12M720 0V12M1080 0V12\"/></svg>", o->out);
}

// ---- a row a component ----

static void put_cell(FILE *out, const char *class, const char *title)
{
	fprintf(out, "<td class=\"%s\" title=\"%s\">", class, title);
}

// Nothing where there is no text.
static void put_small(FILE *out, const char *what, const char *text)
{
	if (*text == '\0')
		return;
	fprintf(out, "<small>%s", what);
	put_text(out, text);
	fputs("</small>", out);
}

static void put_leader(const struct overview *o, const struct server_row *row, bool led)
{
	put_cell(o->out, "leader", "Leader");
	if (!led) {
		fputs("nobody</td>", o->out);
		return;
	}
	fprintf(o->out, "<span><i class=\"n%c\"></i>", colour_of(o, row->leader));
	put_text(o->out, row->leader);
	fputs("</span></td>", o->out);
}

static void put_here(const struct overview *o, const struct server_row *row)
{
	put_cell(o->out, row->valid ? "ours" : "", "Here");
	fprintf(o->out, "<span>%s", row->role);
	if (row->valid) {
		fputs(", valid for ", o->out);
		put_duration(o->out, row->ttl_ns / NS_PER_MS);
	}
	fprintf(o->out, "<small>worker %s", row->worker);
	if (row->workers > 1)
		fprintf(o->out, ", %" PRIu32 " wait", row->workers - 1);
	fputs("</small>", o->out);
	put_small(o->out, "", row->message);
	put_small(o->out, "last term here: ", row->valid ? "" : row->reason);
	fputs("</span></td>", o->out);
}

static void put_candidates(const struct overview *o, uint32_t lease)
{
	size_t count;
	const struct server_candidate *candidates = server_candidates(o->setup->server, lease, &count);
	put_cell(o->out, "", "Candidates");
	fputs("<span>", o->out);
	for (size_t i = 0; i < count; i++) {
		put_text(o->out, candidates[i].other->node);
		fputs("<small>seen ", o->out);
		put_duration(o->out, (o->now - candidates[i].other->seen_at) / NS_PER_MS);
		fputs(" ago", o->out);
		if (candidates[i].priority != 0)
			fprintf(o->out, ", priority %" PRId32, candidates[i].priority);
		fputs("</small>", o->out);
	}
	fputs(count == 0 ? "none elsewhere</span></td>" : "</span></td>", o->out);
}

static void put_row(struct overview *o, uint32_t lease, const struct server_row *row)
{
	bool led = server_row_led(row);
	int64_t without_ms = led ? 0 : (o->now - o->setup->metrics->leases[lease].leaderless_since) / NS_PER_MS;
	fprintf(o->out, "<tr%s>", led ? "" : " class=\"gone\"");
	put_cell(o->out, "name", "Component");
	put_text(o->out, row->component);
	put_small(o->out, "group ", row->group);
	fputs("</td>", o->out);
	put_leader(o, row, led);
	put_cell(o->out, "number", "Term");
	fprintf(o->out, "%" PRIu64 "</td>", row->term);
	put_cell(o->out, "number", "Since");
	put_duration(o->out, led ? row->since_ms : without_ms);
	fputs("</td>", o->out);
	put_here(o, row);
	put_candidates(o, lease);
	put_cell(o->out, "day", "Last 24 hours");
	put_timeline(o, lease, led ? 0 : o->wall_ms - without_ms);
	fputs("</td></tr>\n", o->out);
}

// ---- the whole ----

static void look(struct overview *o)
{
	const struct history *history = o->setup->history;
	struct server_row row;
	for (uint32_t i = 0; i < o->setup->election->lease_count; i++) {
		if (!server_row(o->setup->server, i, &row))
			continue;
		add_node(o, row.leader);
		o->node = row.node;
		o->shown++;
		o->led_here += row.valid;
		o->leaderless += !server_row_led(&row);
	}
	for (size_t i = 0; i < history->count; i++)
		add_node(o, history->past[i].node);
}

static void put_head(const struct overview *o)
{
	FILE *out = o->out;
	// What is being read is there in a moment.
	fprintf(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
		"<meta http-equiv=\"refresh\" content=\"%d\">\n<title>",
		o->setup->history->read_at == 0 ? 1 : 5);
	if (o->leaderless > 0)
		fprintf(out, "%" PRIu32 " without a leader: ", o->leaderless);
	fputs("Tenure at ", out);
	put_text(out, o->node);
	fprintf(out, "</title>\n<style>%s</style>\n</head>\n<body>\n<header><h1>Tenure <span>", style);
	put_text(out, o->node);
	fprintf(out, "</span></h1>\n<p>leads %" PRIu32 " of %" PRIu32 "</p><p>", o->led_here, o->shown);
	put_time(out, o->wall_ms, "%Y-%m-%d %H:%M:%S UTC");
	fputs("</p></header>\n", out);
}

static void put_notes(const struct overview *o)
{
	const struct http_setup *setup = o->setup;
	FILE *out = o->out;
	if (o->leaderless > 0)
		fprintf(out, "<p class=\"note alarm\">%" PRIu32 " of %" PRIu32 " without a leader</p>\n", o->leaderless,
			o->shown);
	if (setup->store_text[0] != '\0' || *setup->answered_at == 0) {
		fputs("<p class=\"note alarm\">The store ", out);
		fputs(*setup->answered_at == 0 ? "has not answered yet" : "last answered ", out);
		if (*setup->answered_at != 0) {
			put_duration(out, (o->now - *setup->answered_at) / NS_PER_MS);
			fputs(" ago", out);
		}
		fputs(setup->store_text[0] != '\0' ? ": " : "", out);
		put_text(out, setup->store_text);
		fputs("</p>\n", out);
	}
	if (setup->election->paused) {
		fputs("<p class=\"note\">The fleet is paused, by ", out);
		put_text(out, setup->election->paused_by);
		fputs(": leaders stay, nobody new is elected</p>\n", out);
	}
}

static void put_legend(const struct overview *o)
{
	fputs("<footer>", o->out);
	for (size_t i = 0; i < o->node_count; i++) {
		fprintf(o->out, "<span><i class=\"n%zu\"></i>", i);
		put_text(o->out, o->nodes[i]);
		fputs("</span>", o->out);
	}
	if (o->more_nodes)
		fputs("<span><i class=\"nx\"></i>other nodes</span>", o->out);
	fputs("<span><i class=\"off\"></i>nobody</span><span><i class=\"none\"></i>not known</span>"
	      "<span>tenured " TENURE_VERSION "</span></footer>\n</body>\n</html>\n",
		o->out);
}

void http_overview(FILE *out, const struct http_setup *setup, int64_t now, int64_t wall_ms)
{
	struct overview overview = {.out = out, .setup = setup, .now = now, .wall_ms = wall_ms, .node = ""};
	struct server_row row;
	setup->history->wanted = true;
	look(&overview);
	put_head(&overview);
	put_notes(&overview);
	fputs("<table>\n<thead><tr><th>Component</th><th>Leader</th><th>Term</th><th>Since</th><th>Here</"
	      "th><th>Candidates</th>"
	      "<th class=\"day\"><span><b>24 hours ago</b><b>12</b><b>now</b></span></th></tr></thead>\n<tbody>\n",
		out);
	for (uint32_t i = 0; i < setup->election->lease_count; i++)
		if (server_row(setup->server, i, &row))
			put_row(&overview, i, &row);
	fputs("</tbody>\n</table>\n", out);
	put_legend(&overview);
}
