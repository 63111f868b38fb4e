package docgen

// panel is a chart of the dashboard.
type panel struct {
	title, unit string
	queries     []query
}

// query is a line of a chart. In its expression $integration and $instance are the dashboard's variables.
type query struct{ expr, legend string }

// panels are the dashboard's charts, three in a row.
var panels = []panel{
	{"Integration: success rate", "percentunit", []query{{
		`1 - (sum by (integration) (rate(trivet_provider_calls_total{integration=~"$integration",instance=~"$instance",outcome=~"rate_limited|server_error|timeout|busy|open|failed"}[$__rate_interval])) or 0 * sum by (integration) (rate(trivet_provider_calls_total{integration=~"$integration",instance=~"$instance"}[$__rate_interval]))) / sum by (integration) (rate(trivet_provider_calls_total{integration=~"$integration",instance=~"$instance",outcome!="canceled"}[$__rate_interval]))`,
		"{{integration}}",
	}}},
	{"Integration: time to the first byte", "s", []query{
		{`sum by (integration) (rate(trivet_provider_call_first_byte_seconds_sum{integration=~"$integration",instance=~"$instance"}[$__rate_interval])) / sum by (integration) (rate(trivet_provider_call_first_byte_seconds_count{integration=~"$integration",instance=~"$instance"}[$__rate_interval]))`, "{{integration}} mean"},
		{`histogram_quantile(0.95, sum by (integration, le) (rate(trivet_provider_call_first_byte_seconds_bucket{integration=~"$integration",instance=~"$instance"}[$__rate_interval])))`, "{{integration}} p95"},
		{`histogram_quantile(0.99, sum by (integration, le) (rate(trivet_provider_call_first_byte_seconds_bucket{integration=~"$integration",instance=~"$instance"}[$__rate_interval])))`, "{{integration}} p99"},
	}},
	{"Integration: calls by method and outcome", "reqps", []query{
		{`sum by (integration, method, outcome) (rate(trivet_provider_calls_total{integration=~"$integration",instance=~"$instance"}[$__rate_interval]))`, "{{integration}} {{method}} {{outcome}}"},
	}},
	{"Integration: rate-limit hits", "reqps", []query{
		{`sum by (integration) (rate(trivet_provider_calls_total{integration=~"$integration",instance=~"$instance",outcome="rate_limited"}[$__rate_interval]))`, "{{integration}}"},
	}},
	{"Integration: calls in flight", "short", []query{{`sum by (integration) (trivet_provider_calls_in_flight{integration=~"$integration",instance=~"$instance"})`, "{{integration}}"}}},
	{"Integration: state", "short", []query{{`max by (integration, state) (trivet_integration_state{integration=~"$integration",instance=~"$instance"}) == 1`, "{{integration}} {{state}}"}}},
	{"Edge: requests by status", "reqps", []query{{`sum by (http_status) (rate(trivet_http_duration_seconds_count{instance=~"$instance"}[$__rate_interval]))`, "{{http_status}}"}}},
	{"Edge: p95 by route", "s", []query{{`histogram_quantile(0.95, sum by (http_route, le) (rate(trivet_http_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "{{http_route}}"}}},
	{"Edge: share of errors", "percentunit", []query{{`sum(rate(trivet_http_duration_seconds_count{instance=~"$instance",http_status=~"5.."}[$__rate_interval])) / sum(rate(trivet_http_duration_seconds_count{instance=~"$instance"}[$__rate_interval]))`, "errors"}}},
	{"Models: calls by outcome", "reqps", []query{{`sum by (model, outcome) (rate(trivet_ai_calls_total{instance=~"$instance"}[$__rate_interval]))`, "{{model}} {{outcome}}"}}},
	{"Models: tokens", "short", []query{{`sum by (model, kind) (rate(trivet_ai_tokens_total{instance=~"$instance"}[$__rate_interval]))`, "{{model}} {{kind}}"}}},
	{"Models: dollars charged per hour", "currencyUSD", []query{{`3600e-9 * sum by (model) (rate(trivet_billing_charged_total{instance=~"$instance"}[$__rate_interval]))`, "{{model}}"}}},
	{"Models: time to the first token", "s", []query{
		{`histogram_quantile(0.5, sum by (model, le) (rate(trivet_ai_first_token_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "{{model}} median"},
		{`histogram_quantile(0.95, sum by (model, le) (rate(trivet_ai_first_token_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "{{model}} p95"},
	}},
	{"Models: cut streams", "reqps", []query{{`sum by (model, cause) (rate(trivet_ai_streams_cut_total{instance=~"$instance"}[$__rate_interval]))`, "{{model}} {{cause}}"}}},
	{"Models: fallbacks", "reqps", []query{{`sum by (model, reason) (rate(trivet_ai_fallbacks_total{instance=~"$instance"}[$__rate_interval]))`, "{{model}} {{reason}}"}}},
	{"Money: holds", "short", []query{
		{`max(trivet_billing_holds_open{instance=~"$instance"})`, "open"},
		{`max(trivet_billing_holds_oldest_age_seconds{instance=~"$instance"})`, "age of the oldest, seconds"},
	}},
	{"Money: reservations by result", "reqps", []query{{`sum by (result) (rate(trivet_billing_reservations_total{instance=~"$instance"}[$__rate_interval]))`, "{{result}}"}}},
	{"Money: settlements", "reqps", []query{
		{`sum by (outcome) (rate(trivet_billing_settlements_total{instance=~"$instance"}[$__rate_interval]))`, "{{outcome}}"},
		{`sum(trivet_ai_settlements_pending{instance=~"$instance"})`, "waiting for billing"},
	}},
	{"Webhooks by outcome", "reqps", []query{{`sum by (source, outcome) (rate(trivet_webhooks_total{instance=~"$instance"}[$__rate_interval]))`, "{{source}} {{outcome}}"}}},
	{"Events: queue and dead letters", "short", []query{{`max by (source, state) (trivet_inbox_events{instance=~"$instance"})`, "{{source}} {{state}}"}}},
	{"Events: age of the oldest", "s", []query{{`max by (source) (trivet_inbox_oldest_age_seconds{instance=~"$instance"})`, "{{source}}"}}},
	{"Identity: credentials by verdict", "reqps", []query{{`sum by (kind, verdict) (rate(trivet_auth_verdicts_total{instance=~"$instance"}[$__rate_interval]))`, "{{kind}} {{verdict}}"}}},
	{"Identity: age of Clerk's signing keys", "s", []query{{`max(trivet_auth_jwks_age_seconds{instance=~"$instance"})`, "age"}}},
	{"RPC: p95", "s", []query{{`histogram_quantile(0.95, sum by (rpc_method, le) (rate(trivet_rpc_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "{{rpc_method}}"}}},
	{"Database: connections", "short", []query{
		{`sum by (service, pool, state) (trivet_database_connections{instance=~"$instance"})`, "{{service}} {{pool}} {{state}}"},
		{`sum by (service, pool) (trivet_database_connections_max{instance=~"$instance"})`, "{{service}} {{pool}} maximum"},
	}},
	{"Database: p95 of a commit", "s", []query{{`histogram_quantile(0.95, sum by (service, le) (rate(trivet_database_commit_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "{{service}}"}}},
	{"Alerts that fire", "short", []query{{`sum by (alertname, severity) (ALERTS{alertstate="firing"})`, "{{alertname}} ({{severity}})"}}},
}
