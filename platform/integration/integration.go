// Package integration lists the third parties that Trivet is integrated with. What treats them alike walks this table: the
// webhook routes and the status page of the edge, the operator's commands, and the sandbox with what starts it. Where a row
// needs code of its own, such as the generated client of its service, the code is in a map by name, and a start or a test fails
// when the map lacks a row. INTEGRATIONS.md says what a fourth integration takes.
package integration

import "slices"

// Integration is a third party.
type Integration struct {
	// Name is its name in metrics, paths and flags, such as "clerk", and Title its name for people, such as "Clerk".
	Name, Title string
	// Service is the service that calls it and keeps what it sends, such as "auth".
	Service string
	// WebhookHeaders are the headers that verifying a webhook needs, in canonical form; none when it sends no webhooks. Its
	// webhooks arrive at WebhookPath.
	WebhookHeaders []string
	// WebhookSetting is the setting with the secrets that sign its webhooks, and WebhookSettingAlias another name of it, which may
	// be empty.
	WebhookSetting, WebhookSettingAlias string
	// EventsPath is where operators read its webhooks at the edge; empty when it sends none.
	EventsPath string
	// Optional says that Trivet works without it: it is off while none of its RealSettings is set, except in trivet dev. A service has one
	// integration that is not optional.
	Optional bool
	// Reconciles says that `trivet reconcile` compares its objects with the stored copies.
	Reconciles bool
	// RealSettings tell, when one of them is set, that the real provider is meant and not the sandbox.
	RealSettings []string
	// SandboxSettings are the settings that the sandbox fills in when it stands in. For an optional integration only trivet dev does so.
	SandboxSettings []string
}

// WebhookPath is the address of its webhooks at the edge.
func (i Integration) WebhookPath() string { return "/api/webhooks/" + i.Name }

// All returns the integrations in a fixed order.
func All() []Integration {
	return []Integration{
		{
			Name: "clerk", Title: "Clerk", Service: "auth",
			WebhookHeaders: []string{"Svix-Id", "Svix-Timestamp", "Svix-Signature", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"},
			WebhookSetting: "CLERK_WEBHOOK_SECRET", WebhookSettingAlias: "CLERK_WEBHOOK_SIGNING_SECRET",
			EventsPath:      "/api/v1/auth/events",
			Reconciles:      true,
			RealSettings:    []string{"CLERK_SECRET_KEY", "CLERK_JWT_KEY", "CLERK_PUBLISHABLE_KEY", "CLERK_ISSUER", "CLERK_API_URL"},
			SandboxSettings: []string{"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CLERK_ISSUER", "CLERK_API_URL", "CLERK_INSTANCE_ID", "CLERK_WEBHOOK_SECRET"},
		},
		{
			Name: "openai", Title: "OpenAI", Service: "ai",
			RealSettings:    []string{"OPENAI_API_KEY", "OPENAI_BASE_URL"},
			SandboxSettings: []string{"OPENAI_API_KEY", "OPENAI_BASE_URL"},
		},
		{
			Name: "stripe", Title: "Stripe", Service: "billing",
			WebhookHeaders:  []string{"Stripe-Signature"},
			WebhookSetting:  "STRIPE_WEBHOOK_SECRET",
			EventsPath:      "/api/v1/billing/events",
			Reconciles:      true,
			RealSettings:    []string{"STRIPE_SECRET_KEY", "STRIPE_API_URL"},
			SandboxSettings: []string{"STRIPE_SECRET_KEY", "STRIPE_API_URL", "STRIPE_WEBHOOK_SECRET"},
		},
		{
			Name: "email", Title: "E-mail", Service: "billing", Optional: true,
			RealSettings:    []string{"SMTP_ADDR"},
			SandboxSettings: []string{"SMTP_ADDR", "SMTP_TLS", "SMTP_FROM"},
		},
	}
}

// Required returns the integrations without which Trivet does not work.
func Required() []Integration {
	return slices.DeleteFunc(All(), func(i Integration) bool { return i.Optional })
}

// Named returns the integration with a name; false for an unknown name.
func Named(name string) (Integration, bool) {
	all := All()
	if i := slices.IndexFunc(all, func(i Integration) bool { return i.Name == name }); i >= 0 {
		return all[i], true
	}
	return Integration{}, false
}

// WithWebhooks returns the integrations that send webhooks.
func WithWebhooks() []Integration {
	return slices.DeleteFunc(All(), func(i Integration) bool { return len(i.WebhookHeaders) == 0 })
}

// Reconciled returns the integrations that `trivet reconcile` compares.
func Reconciled() []Integration {
	return slices.DeleteFunc(All(), func(i Integration) bool { return !i.Reconciles })
}

// Names returns the names of integrations, in their order.
func Names(of []Integration) []string {
	names := make([]string, len(of))
	for i, each := range of {
		names[i] = each.Name
	}
	return names
}
