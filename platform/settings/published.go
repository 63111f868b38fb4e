package settings

// published are the values that Trivet itself publishes, in its sandbox, its development defaults and its files. Everybody
// knows them, so production refuses them. A test compares the list with the repository.
var published = map[string]string{
	"sk_test_TrivetSandboxTrivetSandboxTrivetSandbox0":         "the sandbox's Clerk key",
	"pk_test_dHJpdmV0LXNhbmRib3gtMC5jbGVyay5hY2NvdW50cy5kZXYk": "the sandbox's Clerk key",
	"https://trivet-sandbox-0.clerk.accounts.dev":              "the sandbox's Clerk instance",
	"whsec_dHJpdmV0LXNhbmRib3gtY2xlcmstd2ViaG9va3M=":           "the sandbox's webhook secret",
	"sk-trivet-sandbox":                               "the sandbox's OpenAI key",
	"sk-sandbox-revoked":                              "the sandbox's OpenAI key",
	"sk_test_trivetsandbox":                           "the sandbox's Stripe key",
	"sk_test_revoked0000":                             "the sandbox's Stripe key",
	"whsec_trivetsandbox":                             "the sandbox's webhook secret",
	"trivet development: everybody knows this secret": "development's secret",
}

// Published reports whether Trivet's own files contain a value, and as what.
func Published(value string) (what string, ok bool) {
	what, ok = published[value]
	return what, ok
}
