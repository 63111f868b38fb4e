package serve

import (
	"crypto/ed25519"
	"fmt"

	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Settings are those of every process.
type Settings struct {
	// Env is "development" or "production".
	Env string `env:"TRIVET_ENV" default:"development" oneof:"development,production" help:"development allows plain addresses and gRPC reflection; trivet serve needs production"`
	// LogLevel is the least level logged.
	LogLevel string `env:"LOG_LEVEL" default:"info" oneof:"debug,info,warn,error" help:"least level that is logged"`
	// LogFormat is "text" or "json".
	LogFormat string `env:"LOG_FORMAT" oneof:"text,json" help:"form of the log; default text in development, json in production"`
	// OpsAddr answers /metrics, /healthz and /readyz.
	OpsAddr string `env:"TRIVET_OPS_ADDR" default:"127.0.0.1:9091" help:"address of /metrics, /healthz and /readyz; keep it private"`
	// GRPCAddr answers internal callers.
	GRPCAddr string `env:"TRIVET_GRPC_ADDR" default:"127.0.0.1:9090" help:"address of gRPC for internal callers; keep it private"`
	// DataDir holds SQLite's files and the sandbox's key.
	DataDir string `env:"TRIVET_DATA_DIR" default:"./data" help:"folder of SQLite's files and of the sandbox's key"`
	// Pprof serves /debug/pprof on OpsAddr.
	Pprof bool `env:"TRIVET_PPROF" default:"false" help:"serve Go's profiles under /debug/pprof on the ops address"`
}

// Edge is where the edge listens.
type Edge struct {
	// HTTPAddr answers browsers, SDKs and webhooks.
	HTTPAddr string `env:"TRIVET_HTTP_ADDR" default:"127.0.0.1:8080" help:"address of the edge: REST, SSE, OpenAI's wire format, webhooks"`
}

// Production reports whether this is no development.
func (s Settings) Production() bool { return s.Env == "production" }

// Format is LogFormat with its default.
func (s Settings) Format() string {
	switch {
	case s.LogFormat != "":
		return s.LogFormat
	case s.Production():
		return "json"
	default:
		return "text"
	}
}

// Trust is what lets the processes of one installation know each other and
// their callers. All of it comes from `trivet keys`; the all-in-one makes its own.
type Trust struct {
	// InternalSecret is shared by all processes and proves which service calls.
	InternalSecret settings.Secret `env:"TRIVET_INTERNAL_SECRET" required:"split" help:"shared by all processes of split mode, 32 bytes or more; proves which service is calling"`
	// PassportKeys verify passports, newest first.
	PassportKeys []string `env:"TRIVET_PASSPORT_PUBLIC_KEYS" required:"split" help:"public keys that verify passports, base64, newest first; every process of split mode needs them"`
}

// Validate refuses keys that can't work.
func (t Trust) Validate() error {
	var found []error
	if t.InternalSecret.IsSet() {
		if err := peer.CheckSecret([]byte(t.InternalSecret.Reveal())); err != nil {
			found = append(found, settings.Invalid("TRIVET_INTERNAL_SECRET", "is too short", fmt.Sprintf("give it %d bytes or more; `trivet keys` makes one", peer.MinSecret)))
		}
	}
	if _, err := passport.ParsePublicKeys(t.PassportKeys); err != nil {
		found = append(found, settings.Invalid("TRIVET_PASSPORT_PUBLIC_KEYS", err.Error(), "copy what `trivet keys` prints"))
	}
	return settings.Join(found...)
}

// Keys returns the verification keys.
func (t Trust) Keys() ([]ed25519.PublicKey, error) { return passport.ParsePublicKeys(t.PassportKeys) }

// SigningKey is auth's alone.
type SigningKey struct {
	// PassportKey signs passports.
	PassportKey settings.Secret `env:"TRIVET_PASSPORT_KEY" required:"split" help:"key that signs passports, base64; only auth's process has it"`
}

// Validate refuses a key that can't work.
func (k SigningKey) Validate() error {
	if !k.PassportKey.IsSet() {
		return nil
	}
	if _, err := passport.ParsePrivateKey(k.PassportKey.Reveal()); err != nil {
		return settings.Invalid("TRIVET_PASSPORT_KEY", err.Error(), "copy what `trivet keys` prints")
	}
	return nil
}

// Store is where the services keep what they must not lose.
type Store struct {
	// DatabaseURL is one for all services; each has its own schema or file in it.
	DatabaseURL settings.Secret `env:"DATABASE_URL" required:"split" help:"sqlite://PATH or postgres://…; default: SQLite files in TRIVET_DATA_DIR"`
}

// PriceList is where the models' prices come from.
type PriceList struct {
	// ModelsFile replaces the embedded price list.
	ModelsFile string `env:"MODELS_FILE" help:"YAML file with the price list of the models, in place of the embedded one"`
}
