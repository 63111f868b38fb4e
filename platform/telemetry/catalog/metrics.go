package catalog

import "slices"

// All returns every metric, ordered by part.
func All() []Metric {
	return slices.Concat(edge(), rpc(), providers(), webhooks(), ai(), billing(), auth(), database(), alerts())
}

func edge() []Metric {
	return []Metric{{
		Name: "trivet_http_duration_seconds", Kind: Histogram, Unit: "seconds", Process: "edge",
		Labels: []Label{
			from("http_method", "the methods of the routes; others are `OTHER`"), from("http_route", "the routes; empty for an unknown path"), from("http_status", "HTTP's statuses"),
		},
		Help: "Duration of HTTP requests at the edge by method, route and status. Streams count until their end.",
	}}
}

func rpc() []Metric {
	return []Metric{{
		Name: "trivet_rpc_duration_seconds", Kind: Histogram, Unit: "seconds", Process: "every",
		Labels: []Label{from("rpc_method", "the RPCs of the contract, such as `trivet.ai.v1.AIService/Relay`"), from("rpc_code", "gRPC's status codes")},
		Help:   "How long RPCs took, by method and status code; streams until their end.",
	}}
}

func providers() []Metric {
	byCall := []Label{integration, target, method, outcome}
	return []Metric{
		{Name: "trivet_provider_calls_total", Kind: Counter, Unit: "calls", Process: "auth, ai, billing", Labels: byCall, Help: "Calls to a provider by integration, target, method and outcome."},
		{Name: "trivet_provider_call_duration_seconds", Kind: Histogram, Unit: "seconds", Process: "auth, ai, billing", Labels: byCall, Help: "Time of a call, from its start to the end of its body."},
		{Name: "trivet_provider_call_first_byte_seconds", Kind: Histogram, Unit: "seconds", Process: "auth, ai, billing", Labels: byCall, Help: "Time of a call, from its start to the answer's header."},
		{Name: "trivet_provider_calls_in_flight", Kind: Gauge, Unit: "calls", Process: "auth, ai, billing", Labels: []Label{integration, target}, Help: "Calls in progress, including those whose bodies are still being read."},
		{
			Name: "trivet_provider_retries_total", Kind: Counter, Unit: "calls", Process: "auth, ai, billing",
			Labels: []Label{integration, target, from("outcome", "the outcomes of `trivet_provider_calls_total`")}, Rare: "a call is retried",
			Help: "Calls that were repeated, at the same target or at the next one, by integration, target that failed, and outcome that was not final.",
		},
		{
			Name: "trivet_provider_breaker_state", Kind: Gauge, Unit: "0, 1 or 2", Process: "auth, ai, billing", Labels: []Label{integration, target},
			Help: "State of a provider's circuit breaker: 0 closed, 1 half-open, 2 open.",
		},
		{
			Name: "trivet_integration_state", Kind: Gauge, Unit: "0 or 1", Process: "auth, ai, billing",
			Labels: []Label{integration, listed("state", "operational", "degraded", "down", "unknown")},
			Help:   "State of an integration: 1 for the current state, 0 for the others.",
		},
	}
}

func webhooks() []Metric {
	const process = "auth, billing"
	attempt := []Label{source, inboxOutcome}
	return []Metric{
		{
			Name: "trivet_webhooks_total", Kind: Counter, Unit: "webhooks", Process: process,
			Labels: []Label{
				listed("source", "clerk", "stripe"), from("family", "the first part of the types that Trivet handles, such as `user`; `other`; `unverified` for a refused webhook"),
				listed("outcome", "stored", "duplicate", "ignored", "malformed", "store_down", "not_set_up", "header_missing", "header_malformed", "stale", "future", "signature_mismatch"),
			},
			Help: "Webhooks received, by source, family of the event's type, and outcome.",
		},
		{
			Name: "trivet_inbox_puts_total", Kind: Counter, Unit: "events", Process: process,
			Labels: []Label{source, listed("outcome", "pending", "duplicate", "revived", "ignored", "dead")},
			Help:   "Events put, by source and outcome: pending, duplicate, revived (a duplicate of a dead or ignored one), ignored or dead.",
		},
		{Name: "trivet_inbox_attempts_total", Kind: Counter, Unit: "attempts", Process: process, Labels: attempt, Help: "Attempts, by source and outcome: done, failed, released (not counted) or lost (the lease)."},
		{Name: "trivet_inbox_attempt_duration_seconds", Kind: Histogram, Unit: "seconds", Process: process, Labels: attempt, Help: "Time of an attempt, by source and outcome."},
		{Name: "trivet_inbox_delay_seconds", Kind: Histogram, Unit: "seconds", Process: process, Labels: []Label{source}, Help: "Time from an event's arrival to its effect, by source."},
		{Name: "trivet_inbox_deaths_total", Kind: Counter, Unit: "events", Process: process, Labels: []Label{source}, Help: "Events given up, by source.", Rare: "an event moves to dead letter"},
		{Name: "trivet_inbox_leases_expired_total", Kind: Counter, Unit: "leases", Process: process, Help: "Leases taken over because their workers showed no sign of life.", Rare: "a worker dies or hangs"},
		{
			Name: "trivet_inbox_events", Kind: Gauge, Unit: "events", Process: process, Shared: true,
			Labels: []Label{source, listed("state", "pending", "leased", "dead")}, Help: "Events in the database, by source and state: pending, leased or dead.",
		},
		{Name: "trivet_inbox_oldest_age_seconds", Kind: Gauge, Unit: "seconds", Process: process, Shared: true, Labels: []Label{source}, Help: "Age of the oldest event that is pending or leased, by source."},
	}
}

func ai() []Metric {
	return []Metric{
		{
			Name: "trivet_ai_calls_total", Kind: Counter, Unit: "calls", Process: "ai",
			Labels: []Label{model, listed("outcome", "completed", "caller_left", "upstream_failed"), listed("estimated", "true", "false")},
			Help:   "Calls to models by model, outcome, and whether Trivet had to count the tokens.",
		},
		{Name: "trivet_ai_tokens_total", Kind: Counter, Unit: "tokens", Process: "ai", Labels: []Label{model, tokenKind}, Help: "Tokens settled, by model and kind."},
		{
			Name: "trivet_ai_first_token_seconds", Kind: Histogram, Unit: "seconds", Process: "ai", Labels: []Label{model},
			Help: "Time from the arrival of a call that asks for a stream to the first output of its answer, by model.",
		},
		{
			Name: "trivet_ai_fallbacks_total", Kind: Counter, Unit: "fallbacks", Process: "ai",
			Labels: []Label{model, listed("reason", "rate_limited", "server_error", "client_error", "timeout", "failed", "busy", "open", "rejected", "no_target")}, Rare: "a call leaves a target",
			Help: "Times that a call left a target for another one of its model, by model and by why it left; no_target: the caller got the text of TRIVET_FALLBACK_TEXT.",
		},
		{
			Name: "trivet_ai_streams_cut_total", Kind: Counter, Unit: "streams", Process: "ai",
			Labels: []Label{model, listed("cause", "caller_left", "broken_off", "provider_error", "timeout", "exceeded", "internal")}, Rare: "a stream is cut",
			Help: "Streams that had begun at the caller and did not end in order, by model and cause.",
		},
		{Name: "trivet_ai_holds_open", Kind: Gauge, Unit: "holds", Process: "ai", Help: "Holds of running calls."},
		{Name: "trivet_ai_settlements_pending", Kind: Gauge, Unit: "settlements", Process: "ai", Help: "Settlements that wait for billing; above 0 for long means that billing is down."},
		{Name: "trivet_ai_refusals_pending", Kind: Gauge, Unit: "calls", Process: "ai", Help: "Refused calls that wait for billing to be logged; above 0 for long means that billing is down."},
		{
			Name: "trivet_ai_refusals_dropped_total", Kind: Counter, Unit: "calls", Process: "ai",
			Help: "Refused calls that the log of requests lacks, because too many waited for billing or billing rejected them.",
		},
		{Name: "trivet_ai_background_running", Kind: Gauge, Unit: "responses", Process: "ai", Shared: true, Help: "Responses that run in the background and are not settled, in the database."},
		{
			Name: "trivet_ai_background_oldest_age_seconds", Kind: Gauge, Unit: "seconds", Process: "ai", Shared: true,
			Help: "Age of the oldest response that runs in the background and is not settled; 0 without one.",
		},
		{
			Name: "trivet_ai_background_settled_total", Kind: Counter, Unit: "responses", Process: "ai", Labels: []Label{listed("status", "completed", "incomplete", "failed", "cancelled", "lost")},
			Help: "Responses that ran in the background and were settled, by their last status: completed, incomplete, failed, cancelled, lost.", Rare: "a response runs in the background",
		},
		{Name: "trivet_ai_abandoned_reads", Kind: Gauge, Unit: "answers", Process: "ai", Help: "Answers that are read to their end although their callers have left."},
		{
			Name: "trivet_ai_usage_anomalies_total", Kind: Counter, Unit: "calls", Process: "ai", Labels: []Label{model},
			Help: "Calls whose provider claimed or sent more tokens than the call's bound, by model.", Rare: "a provider exceeds a bound",
		},
		{
			Name: "trivet_ai_usage_excess_total", Kind: Counter, Unit: "tokens", Process: "ai", Labels: []Label{model, tokenKind},
			Help: "Tokens above the bounds of calls, which are not billed, by model and kind.", Rare: "a provider exceeds a bound",
		},
		{
			Name: "trivet_ai_usage_unreported_total", Kind: Counter, Unit: "calls", Process: "ai", Labels: []Label{model},
			Help: "Calls that the provider broke off without their usage, although they may have output that was not seen, by model.", Rare: "a provider breaks an answer off",
		},
	}
}

func billing() []Metric {
	return []Metric{
		{
			Name: "trivet_billing_reservations_total", Kind: Counter, Unit: "holds", Process: "billing",
			Labels: []Label{listed("result", "held", "failed", "INSUFFICIENT_BALANCE", "MODEL_NOT_ALLOWED", "MODEL_NOT_FOUND", "CONFLICT", "INVALID_ARGUMENT", "CONFIGURATION_ERROR")},
			Help:   "Holds requested, by result.",
		},
		{
			Name: "trivet_billing_settlements_total", Kind: Counter, Unit: "holds", Process: "billing",
			Labels: []Label{listed("outcome", "completed", "caller_left", "upstream_failed", "abandoned", "replaced")},
			Help:   "Holds closed, by outcome of the call; replaced: a hold of another size took its place before the call.",
		},
		{Name: "trivet_billing_charged_total", Kind: Counter, Unit: "nano-dollars", Process: "billing", Labels: []Label{model}, Help: "Credit charged for calls, in nano-dollars, by model; corrections of swept calls are not counted."},
		{Name: "trivet_billing_holds_open", Kind: Gauge, Unit: "holds", Process: "billing", Shared: true, Help: "Open holds in the database."},
		{Name: "trivet_billing_holds_oldest_age_seconds", Kind: Gauge, Unit: "seconds", Process: "billing", Shared: true, Help: "Age of the oldest open hold; 0 without one."},
		{Name: "trivet_billing_holds_overdue_seconds", Kind: Gauge, Unit: "seconds", Process: "billing", Shared: true, Help: "Time since the lease of an open hold ended, of the one that ended first; 0 without one."},
		{
			Name: "trivet_billing_events_total", Kind: Counter, Unit: "events", Process: "billing",
			Labels: []Label{from("family", "the first part of the types that Trivet handles, such as `customer`; `other`"), from("outcome", "the result of applying an event")},
			Help:   "Stripe's events applied, by family and outcome; many that wait for one object count once.",
		},
	}
}

func auth() []Metric {
	return []Metric{
		{
			Name: "trivet_auth_verdicts_total", Kind: Counter, Unit: "credentials", Process: "auth",
			Labels: []Label{listed("kind", "session", "api_key"), from("verdict", "`accepted` and the reasons for a refusal, such as `expired`")},
			Help:   "Credentials verified, by kind and verdict.",
		},
		{Name: "trivet_auth_jwks_refreshes_total", Kind: Counter, Unit: "fetches", Process: "auth", Labels: []Label{listed("result", "ok", "error")}, Help: "Fetches of Clerk's signing keys, by result."},
		{Name: "trivet_auth_jwks_age_seconds", Kind: Gauge, Unit: "seconds", Process: "auth", Help: "Time since Clerk's signing keys were fetched."},
		{
			Name: "trivet_auth_events_total", Kind: Counter, Unit: "events", Process: "auth",
			Labels: []Label{from("family", "the first part of the types that Trivet handles, such as `user`; `other`"), from("outcome", "the result of applying an event")},
			Help:   "Clerk events applied, by family and outcome.",
		},
	}
}

func database() []Metric {
	const process = "ai, auth, billing"
	byService, byPool := []Label{store}, []Label{store, pool}
	return []Metric{
		{Name: "trivet_database_writes_total", Kind: Counter, Unit: "writes", Process: process, Labels: byService, Help: "Writes that callers asked for."},
		{Name: "trivet_database_write_failures_total", Kind: Counter, Unit: "writes", Process: process, Labels: byService, Help: "Writes that the database or a defect made fail; a refusal is not one.", Rare: "a write fails"},
		{Name: "trivet_database_retries_total", Kind: Counter, Unit: "transactions", Process: process, Labels: byService, Help: "Transactions that were retried after a failure.", Rare: "a transaction is retried"},
		{Name: "trivet_database_batch_size", Kind: Histogram, Unit: "writes", Process: process, Labels: byService, Help: "Writes that shared a commit."},
		{Name: "trivet_database_batch_duration_seconds", Kind: Histogram, Unit: "seconds", Process: process, Labels: byService, Help: "Time of a batch, from its first statement to its commit."},
		{Name: "trivet_database_commit_duration_seconds", Kind: Histogram, Unit: "seconds", Process: process, Labels: byService, Help: "Time of the durable commit."},
		{Name: "trivet_database_queued", Kind: Gauge, Unit: "writes", Process: process, Labels: byService, Help: "Writes that wait for their turn."},
		{
			Name: "trivet_database_connections", Kind: Gauge, Unit: "connections", Process: process,
			Labels: []Label{store, pool, listed("state", "in_use", "idle")}, Help: "Open connections of a pool, by state.",
		},
		{Name: "trivet_database_connections_max", Kind: Gauge, Unit: "connections", Process: process, Labels: byPool, Help: "Maximum connections of a pool."},
		{Name: "trivet_database_waits_total", Kind: Counter, Unit: "waits", Process: process, Labels: byPool, Help: "Reads and writes that waited because every connection of the pool was in use."},
		{Name: "trivet_database_wait_time_seconds_total", Kind: Counter, Unit: "seconds", Process: process, Labels: byPool, Help: "Total time of the waits for a connection of the pool."},
	}
}

func alerts() []Metric {
	return []Metric{
		{
			Name: "trivet_alerts_firing", Kind: Gauge, Unit: "alerts", Process: "every", Labels: []Label{from("alert", "the rules of deploy/prometheus")},
			Help: "Alerts that fire in this process, by rule. Prometheus evaluates the same rules over all processes.",
		},
		{
			Name: "trivet_alert_notifications_total", Kind: Counter, Unit: "changes", Process: "every", Labels: []Label{listed("receiver", "slack", "webhook"), listed("outcome", "sent", "failed", "dropped")},
			Help: "Changes of alerts for TRIVET_ALERT_URL (slack) and TRIVET_ALERT_WEBHOOK_URL (webhook), by outcome: sent, failed or dropped.", Rare: "an alert changes while one of them is set",
		},
	}
}
