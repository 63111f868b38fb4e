package sandbox

import "github.com/trivet-dev/trivet/platform/linkpage"

// homePage lists what the sandbox has.
func homePage() linkpage.Page {
	return linkpage.Page{
		Title: "Trivet: sandbox", Text: "Stands in for Clerk, OpenAI and Stripe. Everything here is made up, and nothing leaves this machine.",
		Links: []linkpage.Link{
			{Address: "clerk/sign-in", Name: "Sign in", Text: "as any user, without a password"},
			{Address: "control/environment", Name: "Settings", Text: "that point Trivet here"},
			{Name: "/clerk/v1", Text: "Clerk's Backend API and Frontend API"},
			{Name: "/openai/v1", Text: "OpenAI's API"},
			{Name: "/stripe", Text: "Stripe's API, with pages for checkout, invoices and the portal"},
			{Address: "email/", Name: "Mails", Text: "that Trivet sent by SMTP"},
			{Name: "/control", Text: "sets faults, clocks and webhooks; sandbox/README.md lists the calls"},
		},
	}
}
