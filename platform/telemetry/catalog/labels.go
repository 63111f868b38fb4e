package catalog

// listed declares a label with all of its values.
func listed(name string, values ...string) Label { return Label{Name: name, Values: values} }

// from declares a label whose values something else bounds.
func from(name, source string) Label { return Label{Name: name, Source: source} }

// Labels of several metrics.
var (
	integration  = listed("integration", "clerk", "openai", "stripe", "email")
	target       = from("target", "a target of `MODELS_FILE`, or the name of an integration that has no targets")
	method       = from("method", "the calls that the code makes, such as `chat.completions`")
	outcome      = listed("outcome", "success", "client_error", "rate_limited", "server_error", "timeout", "canceled", "busy", "open", "failed")
	store        = listed("service", "ai", "auth", "billing")
	pool         = listed("pool", "read", "write")
	source       = listed("source", "clerk", "stripe", "erasure", "erasure-late", "webhook", "email")
	model        = from("model", "the price list")
	tokenKind    = listed("kind", "input", "output")
	inboxOutcome = listed("outcome", "done", "failed", "released", "lost")
)
