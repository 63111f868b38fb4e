package ai

import (
	"net/url"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/settings"
)

// Config is the settings of ai.
type Config struct {
	// Keys are the provider's API keys, newest first; the first is used.
	Keys settings.Secrets `env:"OPENAI_API_KEY" help:"API key at OpenAI, needed for OpenAI itself; of several, newest first, the first is used"`
	// BaseURL is where the API is.
	BaseURL *url.URL `env:"OPENAI_BASE_URL" default:"https://api.openai.com/v1" help:"address of OpenAI's API, or of one that speaks its format"`
	// Organization is the organization at the provider; may be empty.
	Organization string `env:"OPENAI_ORG_ID" help:"organization at OpenAI that is billed, when the key has several"`
	// ModelsFile is the price list; "" means the embedded one.
	ModelsFile string `env:"MODELS_FILE" help:"YAML file with models and prices, in place of the embedded list"`
	// HeaderTimeout is the longest wait for the beginning of an answer: reasoning without a stream takes minutes.
	HeaderTimeout time.Duration `env:"OPENAI_HEADER_TIMEOUT" default:"10m" min:"1s" help:"longest wait for the beginning of an answer"`
	// IdleTimeout is the longest silence within an answer.
	IdleTimeout time.Duration `env:"OPENAI_IDLE_TIMEOUT" default:"2m" min:"1s" help:"longest silence within an answer"`
	// MaxConcurrent is how many calls may run at once.
	MaxConcurrent int `env:"OPENAI_MAX_CONCURRENT" default:"4096" min:"1" help:"most calls to OpenAI at the same time"`
}

// official is the host of OpenAI itself, whose keys have a known form.
const official = "api.openai.com"

func (c *Config) official() bool { return c.BaseURL != nil && c.BaseURL.Hostname() == official }

// Missing reports the key that OpenAI needs; others that speak its format, such as a model server on this machine, may need none.
func (c *Config) Missing() error {
	if c.Keys.IsSet() || !c.official() {
		return nil
	}
	return settings.Invalid("OPENAI_API_KEY", "is not set", "set OPENAI_API_KEY or OPENAI_API_KEY_FILE, or OPENAI_BASE_URL for a provider that needs no key")
}

// ValidateProduction refuses keys that OpenAI cannot have made.
func (c *Config) ValidateProduction() error {
	if !c.official() {
		return nil
	}
	for _, key := range c.Keys.Reveal() {
		if !strings.HasPrefix(key, "sk-") || len(key) < minKey {
			return settings.Invalid("OPENAI_API_KEY", "cannot be real: OpenAI's keys begin with sk- and are longer", "copy the key from OpenAI's dashboard")
		}
	}
	return nil
}

// minKey is shorter than any key that OpenAI makes.
const minKey = 20
