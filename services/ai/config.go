package ai

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
)

// Config is the settings of ai.
type Config struct {
	// Keys are the provider's API keys, newest first; the first is used.
	Keys settings.Secrets `env:"OPENAI_API_KEY" help:"OpenAI API keys, newest first; the first one is used; needed for OpenAI itself"`
	// BaseURL is where the API is.
	BaseURL *url.URL `env:"OPENAI_BASE_URL" default:"https://api.openai.com/v1" help:"base URL of OpenAI's API, or of a server that speaks its format"`
	// Organization is the organization at the provider; may be empty.
	Organization string `env:"OPENAI_ORG_ID" help:"OpenAI organization to bill, when the key belongs to several"`
	// HeaderTimeout is the longest wait for the beginning of an answer: reasoning without a stream takes minutes.
	HeaderTimeout time.Duration `env:"OPENAI_HEADER_TIMEOUT" default:"10m" min:"1s" help:"maximum wait for the beginning of an answer"`
	// IdleTimeout is the longest silence within an answer of a model that does not reason.
	IdleTimeout time.Duration `env:"OPENAI_IDLE_TIMEOUT" default:"2m" min:"1s" help:"maximum silence within an answer; a reasoning model may be silent for OPENAI_HEADER_TIMEOUT"`
	// ProbeInterval is how often an idle provider is asked; 0 is never.
	ProbeInterval time.Duration `env:"OPENAI_PROBE_INTERVAL" default:"30s" min:"0s" max:"1h" help:"how often OpenAI is asked for its models, to check that it answers while nothing else calls it; 0s turns it off"`
	// Tries, RetryDelay and BreakerFailures say what is done about a target that fails before its answer begins.
	Tries           int           `env:"OPENAI_TRIES" default:"3" min:"1" max:"10" help:"attempts of a call at its target before the caller gets the failure; a call of a model with several targets tries each of them; 1 means no retries"`
	RetryDelay      time.Duration `env:"OPENAI_RETRY_DELAY" default:"500ms" min:"0s" max:"8s" help:"longest pause before the first retry of a call at the same target; it doubles with each further retry up to 8s, and each pause is a random part of it"`
	BreakerFailures int           `env:"OPENAI_BREAKER_FAILURES" default:"10" min:"0" help:"failed calls of a target within 10s that stop all calls to it for a while, if they are half of its calls; 0 never stops them"`
	// MaxConcurrent is how many calls may run at once.
	MaxConcurrent int `env:"OPENAI_MAX_CONCURRENT" default:"4096" min:"1" help:"maximum concurrent calls to OpenAI"`
	// RefusedFields are members of a request that could change its model or its price, or have a provider keep a chat.
	RefusedFields []string `env:"TRIVET_REFUSED_FIELDS" default:"models,route,provider,plugins,transforms,preset,fallbacks,extra_body,best_of,use_beam_search,prediction,audio,web_search_options,search_parameters,data_sources,store" help:"request fields that are refused, because they can change which model answers or what the call costs, or (store) have the provider keep a chat; none refuses nothing"`
	// Redis is where the replicas share the counts of limits.
	Redis settings.Secret `env:"REDIS_URL" help:"Redis in which the replicas share the counts of limits, as redis://HOST:6379, rediss:// or unix://; without it, each process counts for itself"`
	// FallbackText answers a conversation of the typed API while no target of its model is available.
	FallbackText string `env:"TRIVET_FALLBACK_TEXT" default:"I'm currently unavailable. Please try again later or contact support." help:"text that answers a chat of the typed API, free and marked fallback: true, while no target of the model is available; none answers SERVICE_UNAVAILABLE instead"`
	// AbandonedReads and AbandonedReadTimeout bound what is done for answers whose callers have left.
	AbandonedReads       int           `env:"TRIVET_ABANDONED_READS" default:"256" min:"0" help:"maximum number of answers that are read to their end at once after their callers have left; one account may have a quarter of them; calls beyond it are billed at the bound of their hold"`
	AbandonedReadTimeout time.Duration `env:"TRIVET_ABANDONED_READ_TIMEOUT" default:"10m" min:"1s" help:"maximum time to read an answer to its end after its caller has left; a call that takes longer is billed at the bound of its hold"`
	// ResponseRetention is how long a stored response can be found.
	ResponseRetention time.Duration `env:"TRIVET_RESPONSE_RETENTION" default:"720h" min:"1h" max:"87600h" help:"how long a response that a provider stores can be used after it was created; then it is deleted at the provider, which may do so earlier (OpenAI: after 30 days)"`
	// BackgroundMaxAge is how long a response may run in the background.
	BackgroundMaxAge time.Duration `env:"TRIVET_BACKGROUND_MAX_AGE" default:"2h" min:"1m" max:"48h" help:"how long a response may run in the background (background: true); then it is cancelled at the provider and billed for what the provider reports"`
	// MaxBackground is how many responses of an account may run in the background at once.
	MaxBackground int `env:"TRIVET_MAX_BACKGROUND_RESPONSES" default:"100" min:"0" help:"how many responses of one account may run in the background at the same time; 0 refuses background: true"`
}

// noFallback turns the fallback text off: an empty setting stands for the default.
const noFallback = "none"

func (c *Config) fallbackText() string {
	if c.FallbackText == noFallback {
		return ""
	}
	return c.FallbackText
}

// official is the host of OpenAI itself, whose keys have a known form.
const official = "api.openai.com"

func (c *Config) official() bool { return c.BaseURL != nil && c.BaseURL.Hostname() == official }

// Validate checks the address of Redis and the keys. In the mode settings.Serve OpenAI itself needs one; servers that speak its format, such as a model
// server on this machine, may need none. In the mode settings.Production it refuses keys that OpenAI cannot have made.
func (c *Config) Validate(modes settings.Modes) error {
	return errors.Join(c.validateRedis(), c.validateKeys(modes), c.validateBackground())
}

// validateBackground refuses to forget the owner of a response while it may still run.
func (c *Config) validateBackground() error {
	if c.BackgroundMaxAge <= 0 || c.BackgroundMaxAge < c.ResponseRetention {
		return nil
	}
	return settings.Invalid("TRIVET_BACKGROUND_MAX_AGE", "is not below TRIVET_RESPONSE_RETENTION", "lower TRIVET_BACKGROUND_MAX_AGE, or raise TRIVET_RESPONSE_RETENTION")
}

func (c *Config) validateRedis() error {
	if !c.Redis.IsSet() || limit.CheckURL(c.Redis.Reveal()) == nil {
		return nil
	}
	return settings.Invalid("REDIS_URL", "is not an address of Redis", "write redis://HOST:6379, rediss://HOST:6379 or unix:///PATH")
}

func (c *Config) validateKeys(modes settings.Modes) error {
	if !c.official() {
		return nil
	}
	if modes.Has(settings.Serve) && !c.Keys.IsSet() {
		return settings.Invalid("OPENAI_API_KEY", "is not set", "set OPENAI_API_KEY or OPENAI_API_KEY_FILE, or OPENAI_BASE_URL for a provider that needs no key")
	}
	for _, key := range c.Keys.Reveal() {
		if modes.Has(settings.Production) && (!strings.HasPrefix(key, "sk-") || len(key) < minKey) {
			return settings.Invalid("OPENAI_API_KEY", "cannot be real: OpenAI's keys begin with sk- and are longer", "copy the key from OpenAI's dashboard")
		}
	}
	return nil
}

// minKey is shorter than any key that OpenAI makes.
const minKey = 20

// account is the target of the settings.
func (c *Config) account() upstream.Account {
	return upstream.Account{
		Target: models.Target{
			BaseURL: c.BaseURL, Organization: c.Organization, FirstByteTimeout: c.HeaderTimeout, IdleTimeout: c.IdleTimeout, MaxConcurrent: c.MaxConcurrent,
		},
		Secrets: []settings.Secrets{c.Keys},
	}
}
