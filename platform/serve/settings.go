package serve

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/mutual"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// Environment is the kind of installation.
type Environment struct {
	// Env is "development" or "production".
	Env string `env:"TRIVET_ENV" default:"development" oneof:"development,production" help:"development allows sandbox keys and gRPC reflection; production refuses them"`
}

// Production reports whether the process serves production.
func (e Environment) Production() bool { return e.Env == "production" }

// DataFolder is where files are kept.
type DataFolder struct {
	// DataDir holds SQLite's files and the sandbox's state.
	DataDir string `env:"TRIVET_DATA_DIR" default:"./data" help:"folder of the SQLite files and of the sandbox's state"`
}

// Settings are those of every process.
type Settings struct {
	Environment
	// LogLevel is "debug", "info", "warn" or "error".
	LogLevel string `env:"LOG_LEVEL" default:"info" oneof:"debug,info,warn,error" help:"minimum log level"`
	// LogFormat is "text" or "json".
	LogFormat string `env:"LOG_FORMAT" oneof:"text,json" help:"log format; default text in development, json in production"`
	// OpsAddr answers /metrics, /healthz and /readyz.
	OpsAddr string `env:"TRIVET_OPS_ADDR" default:"127.0.0.1:9091" help:"address of /metrics, /healthz and /readyz; keep it private"`
	// GRPCAddr answers internal callers.
	GRPCAddr string `env:"TRIVET_GRPC_ADDR" default:"127.0.0.1:9090" help:"address of gRPC for internal callers; keep it private"`
	DataFolder
	// DrainDelay is how long a process that was told to stop still accepts connections.
	DrainDelay time.Duration `env:"TRIVET_DRAIN_DELAY" default:"0s" min:"0s" max:"5m" help:"how long a process that was told to stop accepts new connections while /readyz already fails; 5s in production unless it is set"`
	// Pprof serves /debug/pprof on OpsAddr.
	Pprof bool `env:"TRIVET_PPROF" default:"false" help:"serve Go profiles under /debug/pprof on the ops address"`
	// SecretReload is how often the files of secrets are compared with what was read.
	SecretReload time.Duration `env:"TRIVET_SECRET_RELOAD_INTERVAL" default:"5s" min:"0s" max:"1h" help:"how often the files of secrets (NAME_FILE) are read again, so that a change applies without a restart; 0s turns it off; SIGHUP reads them at once"`
	AlertSettings
	Trace tracing.Settings
	// Mutual secures gRPC between processes.
	Mutual mutual.Settings
}

// Validate checks the addresses.
func (s Settings) Validate(settings.Modes) error {
	return settings.Join(CheckAddress("TRIVET_OPS_ADDR", s.OpsAddr), CheckAddress("TRIVET_GRPC_ADDR", s.GRPCAddr))
}

// Edge is where the edge listens.
type Edge struct {
	// HTTPAddr answers browsers, SDKs and webhooks.
	HTTPAddr string `env:"TRIVET_HTTP_ADDR" default:"127.0.0.1:8080" help:"address of the edge: REST, SSE, OpenAI's wire format, webhooks"`
}

// Validate checks the address.
func (e Edge) Validate(settings.Modes) error { return CheckAddress("TRIVET_HTTP_ADDR", e.HTTPAddr) }

// CheckAddress returns a settings.Problem when address is not HOST:PORT, a host that may be empty and a port number.
func CheckAddress(setting, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return settings.Invalid(setting, strconv.Quote(address)+" is not an address", "write HOST:PORT, such as 127.0.0.1:8080")
	}
	return nil
}

// InProduction reports whether TRIVET_ENV is production.
func InProduction(get func(string) string) bool {
	var e Environment
	return settings.Load(get, &e) == nil && e.Production()
}

// WithDefaults returns a lookup with the defaults that differ in production.
func WithDefaults(get func(string) string) func(string) string {
	if !InProduction(get) {
		return get
	}
	production := map[string]string{"TRIVET_DRAIN_DELAY": "5s"}
	return settings.Layer(get, func(name string) string { return production[name] })
}

// Modes are the modes to load settings in: those given, and settings.Production where that is so.
func Modes(get func(string) string, modes ...string) []string {
	if InProduction(get) {
		return append(modes, settings.Production)
	}
	return modes
}

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
	InternalSecret settings.Secrets `env:"TRIVET_INTERNAL_SECRET" required:"split" help:"shared by all processes of split mode, 32 bytes or more; proves which service is calling; several during a rotation: the first is used, all are accepted"`
	// PassportKeys verify passports, newest first.
	PassportKeys []string `env:"TRIVET_PASSPORT_PUBLIC_KEYS" required:"split" help:"public keys that verify passports, base64, newest first; every process of split mode needs them"`
}

// Validate refuses keys that can't work.
func (t Trust) Validate(settings.Modes) error {
	var found []error
	for _, secret := range t.InternalSecret.Reveal() {
		if err := peer.CheckSecret([]byte(secret)); err != nil {
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

// secrets are the internal secrets, the one that is used first.
func (t Trust) secrets() [][]byte {
	var secrets [][]byte
	for _, secret := range t.InternalSecret.Reveal() {
		secrets = append(secrets, []byte(secret))
	}
	return secrets
}

// SigningKey is auth's alone.
type SigningKey struct {
	// PassportKey signs passports.
	PassportKey settings.Secret `env:"TRIVET_PASSPORT_KEY" required:"split" help:"key that signs passports, base64; only auth's process has it"`
}

// Validate refuses a key that can't work.
func (k SigningKey) Validate(settings.Modes) error {
	if !k.PassportKey.IsSet() {
		return nil
	}
	if _, err := passport.ParsePrivateKey(k.PassportKey.Reveal()); err != nil {
		return settings.Invalid("TRIVET_PASSPORT_KEY", err.Error(), "copy what `trivet keys` prints")
	}
	return nil
}

// key is the key.
func (k SigningKey) key() (ed25519.PrivateKey, error) {
	return passport.ParsePrivateKey(k.PassportKey.Reveal())
}

// Store is where the services keep what they must not lose.
type Store struct {
	// DatabaseURL is one for all services; each has its own schema or file in it.
	DatabaseURL settings.Secret `env:"DATABASE_URL" required:"split" help:"sqlite://FOLDER or postgres://USER:PASSWORD@HOST/NAME; default: SQLite files in TRIVET_DATA_DIR"`
	// DirectURL leads past a pooler.
	DirectURL settings.Secret `env:"DATABASE_DIRECT_URL" help:"address of PostgreSQL itself when DATABASE_URL is that of a pooler in transaction mode, such as PgBouncer; for migrations and notifications"`
	// ReadConnections and WriteConnections are for one service of one process.
	ReadConnections  int `env:"DATABASE_READ_CONNECTIONS" default:"10" min:"1" max:"1000" help:"maximum number of PostgreSQL connections that read, for each service of a process"`
	WriteConnections int `env:"DATABASE_WRITE_CONNECTIONS" default:"4" min:"1" max:"100" help:"number of PostgreSQL connections that write, for each service of a process; each commits the writes of many callers together"`
}

// For is where one service's own store is.
func (s Store) For(service string) database.Config {
	config := database.For(service, s.DatabaseURL)
	config.DirectURL = s.DirectURL
	if config.OnPostgres() {
		config.MaxReaders, config.Lanes = s.ReadConnections, s.WriteConnections
	}
	return config
}

// ForTool is For for a program that makes few calls, one after another. It goes past a pooler.
func (s Store) ForTool(service string) database.Config {
	config := s.For(service)
	if s.DirectURL.IsSet() {
		config.URL, config.DirectURL = s.DirectURL, settings.Secret{}
	}
	if config.OnPostgres() {
		config.MaxReaders, config.Lanes = 2, 1
	}
	return config
}

// Validate checks the address without opening the database.
func (s Store) Validate(settings.Modes) error {
	if !s.DatabaseURL.IsSet() {
		return nil
	}
	if err := database.CheckURL(s.DatabaseURL, settings.Secret{}); err != nil {
		return settings.Invalid("DATABASE_URL", err.Error(), "write sqlite://FOLDER or postgres://USER:PASSWORD@HOST/NAME")
	}
	if err := database.CheckURL(s.DatabaseURL, s.DirectURL); err != nil {
		return settings.Invalid("DATABASE_DIRECT_URL", err.Error(), "write postgres://USER:PASSWORD@HOST/NAME, or remove it if you use no pooler")
	}
	return nil
}

// PriceList is where the models' prices come from.
type PriceList struct {
	// ModelsFile replaces the embedded price list.
	ModelsFile string `env:"MODELS_FILE" help:"YAML file with the price list of the models, in place of the embedded one"`

	// ReloadInterval is how often the file is compared with what was read.
	ReloadInterval time.Duration `env:"MODELS_RELOAD_INTERVAL" default:"5s" min:"0s" max:"1h" help:"how often MODELS_FILE is read again, so that a change applies without a restart; 0s turns it off; SIGHUP reads it at once"`

	list *models.List
}

// Validate reads the price list, once for the whole process.
func (p *PriceList) Validate(settings.Modes) (err error) {
	if p.list, err = models.Load(p.ModelsFile); err != nil {
		return settings.Invalid("MODELS_FILE", strings.TrimPrefix(err.Error(), "MODELS_FILE: "), "name a readable YAML file in the form of platform/models/models.yaml")
	}
	return nil
}

// List returns the price list that Validate read.
func (p *PriceList) List() *models.List { return p.list }

// ReloadPart follows changes of the file until ctx ends, and reads it at once on SIGHUP. All checks must accept a new list.
func (p *PriceList) ReloadPart(log *slog.Logger, checks ...func(*models.List) error) Part {
	return Part{Name: "models", Run: func(ctx context.Context) error {
		if p.ModelsFile == "" {
			<-ctx.Done()
			return nil
		}
		hangup, stop := hangups(ctx)
		defer stop()
		reloader := &models.Reloader{Path: p.ModelsFile, List: p.list, Checks: checks, Interval: p.ReloadInterval, Now: hangup, Logger: log}
		return reloader.Run(ctx)
	}}
}
