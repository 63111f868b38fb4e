package alert

import (
	"slices"
	"time"
)

// Limits of the rules. The first three are those of the integration guide.
const (
	maxFailureRatio    = 0.05
	maxMeanLatency     = 5.0
	maxWebhookFailures = 10.0

	// The objective of the edge is that 99.9 % of the requests succeed. At 14.4 times the allowed rate of failures, 2 % of a month's
	// budget is gone after an hour.
	errorBudget = 0.001
	fastBurn    = 14.4 * errorBudget
)

const (
	fiveMinutes = 5 * time.Minute
	hour        = time.Hour
)

// Series that several rules read.
var (
	calls    = Selector{Metric: "trivet_provider_calls_total"}
	counted  = calls.except("outcome", "canceled") // the caller left, or gave the provider less than a second: this says nothing about the provider
	requests = Selector{Metric: "trivet_http_duration_seconds_count"}
	received = Selector{Metric: "trivet_webhooks_total"}
)

// Rules returns all rules, ordered by part.
func Rules() []Rule {
	return slices.Concat(integrations(), events(), money(), installation())
}

func integrations() []Rule {
	return []Rule{
		{
			Name: "IntegrationDown", Severity: Page, For: time.Minute, Summary: "{integration} is down.",
			When: above(0, level(Selector{Metric: "trivet_integration_state"}.where("state", "down"), "integration")),
		},
		{
			Name: "IntegrationFailing", Severity: Page, For: 2 * time.Minute, Summary: "Less than 95 % of the calls to {integration} succeed.",
			When: []Condition{
				{ratio(fiveMinutes, calls.where("outcome", "rate_limited|server_error|timeout|busy|open|failed"), counted, "integration"), maxFailureRatio},
				{increase(fiveMinutes, counted, "integration"), 9}, // a single failure among few calls tells little
			},
		},
		{
			Name: "IntegrationSlow", Severity: Ticket, For: fiveMinutes, Summary: "{integration} takes more than 5 seconds on average to answer.",
			When: above(maxMeanLatency, mean(fiveMinutes, Selector{Metric: "trivet_provider_call_first_byte_seconds"}, "integration")),
		},
		{
			Name: "IntegrationRateLimited", Severity: Ticket, Summary: "{integration} refuses calls because of its rate limit.",
			When: above(20, increase(fiveMinutes, calls.where("outcome", "rate_limited"), "integration")),
		},
		{
			Name: "SigningKeysOld", Severity: Page, For: fiveMinutes, Summary: "Clerk's signing keys were not refreshed for an hour.",
			When: above(3600, level(Selector{Metric: "trivet_auth_jwks_age_seconds"})),
		},
	}
}

func events() []Rule {
	return []Rule{
		{
			Name: "WebhookFailures", Severity: Ticket, Summary: "More than 10 webhooks of {source} were refused within an hour.",
			When: above(maxWebhookFailures, increase(hour, received.except("outcome", "stored|duplicate|ignored"), "source")),
		},
		{
			Name: "WebhooksOverPlainHTTP", Severity: Ticket, Summary: "The edge refuses webhooks that reach it over plain HTTP.",
			When: above(0, increase(hour, requests.where("http_route", "/api/webhooks/.*").where("http_status", "403"))),
		},
		{
			Name: "EventsFailing", Severity: Ticket, Summary: "More than 10 attempts to apply events of {source} failed within an hour.",
			When: above(maxWebhookFailures, increase(hour, Selector{Metric: "trivet_inbox_attempts_total"}.where("outcome", "failed"), "source")),
		},
		{
			Name: "EventsOld", Severity: Page, Shared: true, For: time.Minute, Summary: "An event of {source} waits for more than 5 minutes.",
			When: above(300, level(Selector{Metric: "trivet_inbox_oldest_age_seconds"}.except("source", "erasure-late|webhook|email"), "source")),
		},
		{
			Name: "EventsDead", Severity: Ticket, Shared: true, Summary: "Events of {source} are dead.",
			When: above(0, level(Selector{Metric: "trivet_inbox_events"}.where("state", "dead"), "source")),
		},
		{
			Name: "LeasesExpiring", Severity: Ticket, Summary: "Workers of events hang or die.",
			When: above(3, increase(15*time.Minute, Selector{Metric: "trivet_inbox_leases_expired_total"})),
		},
	}
}

func money() []Rule {
	return []Rule{
		{
			Name: "SettlementsPending", Severity: Page, For: fiveMinutes, Summary: "Calls wait to be billed.",
			When: above(0, level(Selector{Metric: "trivet_ai_settlements_pending"})),
		},
		{
			Name: "HoldsOld", Severity: Ticket, Shared: true, For: time.Minute, Summary: "The lease of a hold ended more than 5 minutes ago, and the hold is still open.",
			When: above(300, level(Selector{Metric: "trivet_billing_holds_overdue_seconds"})),
		},
		{
			Name: "CallsAbandoned", Severity: Ticket, Summary: "The sweeper settles calls whose process died.",
			When: above(5, increase(15*time.Minute, Selector{Metric: "trivet_billing_settlements_total"}.where("outcome", "abandoned"))),
		},
		{
			Name: "UsageAnomaly", Severity: Ticket, Summary: "A provider reports more tokens of {model} than a call may use.",
			When: above(0, increase(hour, Selector{Metric: "trivet_ai_usage_anomalies_total"}, "model")),
		},
		{
			Name: "UsageUnreported", Severity: Ticket, Summary: "Answers of {model} break off without their usage.",
			When: above(10, increase(hour, Selector{Metric: "trivet_ai_usage_unreported_total"}, "model")),
		},
		{
			Name: "BalanceExhausted", Severity: Ticket, Summary: "Many calls are refused for lack of credit.",
			When: above(100, increase(hour, Selector{Metric: "trivet_billing_reservations_total"}.where("result", "INSUFFICIENT_BALANCE"))),
		},
	}
}

func installation() []Rule {
	errors := requests.where("http_status", "5..")
	writes := Selector{Metric: "trivet_database_writes_total"}
	return []Rule{
		{
			Name: "ErrorBudgetBurn", Severity: Page, Summary: "The edge answers so many requests with errors that 2 % of a month's budget is used in an hour.",
			When: []Condition{
				{ratio(fiveMinutes, errors, requests), fastBurn},
				{ratio(hour, errors, requests), fastBurn},
				{increase(fiveMinutes, errors), 9},
			},
		},
		{
			Name: "ErrorBudgetBurnSlow", Severity: Ticket, Summary: "The edge answers so many requests with errors that the month's budget will not last.",
			PromQL: "(" + ratio(30*time.Minute, errors, requests).promQL() + " > 0.006) and (" + ratio(6*hour, errors, requests).promQL() + " > 0.006)",
		},
		{
			Name: "InternalErrors", Severity: Ticket, Summary: "{rpc_method} fails with an internal error: a defect in Trivet, a key that a provider refuses, or a wrong setting.",
			When: above(0, increase(15*time.Minute, Selector{Metric: "trivet_rpc_duration_seconds_count"}.where("rpc_code", "Internal"), "rpc_method")),
		},
		{
			Name: "WritesFailing", Severity: Page, For: time.Minute, Summary: "More than 1 % of the writes of {service} to its database fail.",
			When: []Condition{
				{ratio(fiveMinutes, Selector{Metric: "trivet_database_write_failures_total"}, writes, "service"), 0.01},
				{increase(fiveMinutes, Selector{Metric: "trivet_database_write_failures_total"}, "service"), 4},
			},
		},
		{
			Name: "ConnectionsExhausted", Severity: Ticket, For: fiveMinutes, Summary: "Queries of {service} wait for a connection of the {pool} pool.",
			When: above(60, increase(fiveMinutes, Selector{Metric: "trivet_database_wait_time_seconds_total"}, "service", "pool")),
		},
		{
			Name: "TrivetDown", Severity: Page, For: time.Minute, Summary: "Prometheus cannot reach {instance}.",
			PromQL: `up{job="trivet"} == 0`,
		},
	}
}
