package allinone

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// Settings returns the structs that hold every setting of every program.
func Settings() []any {
	return []any{
		serve.Settings{},
		serve.Edge{},
		serve.Trust{},
		serve.SigningKey{},
		serve.Addresses{},
		serve.Store{},
		serve.PriceList{},
		serve.StandIn{},
		gateway.Config{},
		auth.Config{},
		ai.Config{},
		billing.Config{},
		SandboxSettings{},
		OperatorSettings{},
	}
}

// ServiceSettings returns the structs with the settings of each process of split mode.
func ServiceSettings() map[string][]any {
	return map[string][]any{
		"auth":    {auth.Config{}, serve.PriceList{}},
		"ai":      {ai.Config{}, serve.PriceList{}},
		"billing": {billing.Config{}, serve.PriceList{}},
		"gateway": {gateway.Config{}},
	}
}

// config holds every setting of the all-in-one.
type config struct {
	Host   serve.Settings
	Edge   serve.Edge
	Store  serve.Store
	Prices serve.PriceList

	files   *serve.FileStates // before the settings were read
	modes   []string          // that the settings were loaded in
	Gateway gateway.Config
	Auth    auth.Config
	AI      ai.Config
	Billing billing.Config
	Sandbox SandboxSettings
	StandIn serve.StandIn
}

// Validate checks what concerns several parts.
func (c *config) Validate(settings.Modes) error {
	return settings.Join(c.dataDir(), c.Billing.CheckModels(c.Prices.List()))
}

// validateService checks that a service can serve with its real provider.
func (c *config) validateService(name string) error {
	serving := settings.Modes{settings.Serve}
	switch name {
	case "auth":
		return c.Auth.Validate(serving)
	case "ai":
		return c.AI.Validate(serving)
	case "billing":
		return c.Billing.Validate(serving)
	default:
		return errors.New("there is no service " + name)
	}
}

// dataDir creates the data folder if it is needed, so that a wrong path is reported with its setting.
func (c *config) dataDir() error {
	if c.Store.DatabaseURL.IsSet() && !strings.HasPrefix(c.Store.DatabaseURL.Reveal(), "sqlite://"+c.Host.DataDir) {
		return nil
	}
	const private = 0o700
	if err := os.MkdirAll(c.Host.DataDir, private); err != nil {
		return settings.Invalid("TRIVET_DATA_DIR", "the folder cannot be created: "+err.Error(), "name a folder that may be written")
	}
	probe, err := os.CreateTemp(c.Host.DataDir, ".writable-*")
	if err != nil {
		return settings.Invalid("TRIVET_DATA_DIR", "the folder cannot be written: "+err.Error(), "name a folder that may be written")
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return settings.Invalid("TRIVET_DATA_DIR", err.Error(), "name a folder that may be written")
	}
	return nil
}

// load reads every setting and reports all mistakes at once, including those of the checks and of the settings file.
func load(env settings.Env, modes []string, checks ...func(*config) error) (*config, error) {
	c := &config{modes: modes}
	var err error
	if c.files, err = serve.ReadFileStates(env.Get, c); err != nil {
		return nil, err
	}
	wrong := []error{settings.Load(env.Get, c, modes...), serve.KnowTargets(env).Refused()}
	for _, check := range checks {
		wrong = append(wrong, check(c))
	}
	if err := settings.Join(wrong...); err != nil {
		return nil, err
	}
	return c, nil
}

// host makes what the parts of the process share.
func (c *config) host(stderr io.Writer) (*serve.Host, error) {
	return serve.NewHost("trivet", c.Host, stderr)
}

// public returns the settings whose addresses other machines can reach.
func (c *config) public() []string {
	var open []string
	for _, at := range []serve.Listening{
		{Setting: "TRIVET_HTTP_ADDR", Address: c.Edge.HTTPAddr},
		{Setting: "TRIVET_GRPC_ADDR", Address: c.Host.GRPCAddr},
		{Setting: "TRIVET_OPS_ADDR", Address: c.Host.OpsAddr},
		{Setting: "TRIVET_SANDBOX_ADDR", Address: c.Sandbox.Addr},
		{Setting: "TRIVET_SANDBOX_SMTP_ADDR", Address: c.Sandbox.SMTPAddr},
	} {
		if !loopback(at.Address) {
			open = append(open, at.Setting)
		}
	}
	return open
}

// loopback reports whether only this machine reaches an address. A name other than localhost may be anything.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // another check reports it
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// refusePublic reports the addresses of a development server that other machines can reach.
func refusePublic(c *config) error {
	var found []error
	for _, setting := range c.public() {
		found = append(found, settings.Invalid(setting, "is reachable from other machines, and anyone who reaches trivet dev can act as any user",
			"use 127.0.0.1, or give --allow-public"))
	}
	return settings.Join(found...)
}

// withDatabase puts SQLite into the data folder if DATABASE_URL is not set.
func withDatabase(get func(string) string) func(string) string {
	var at serve.DataFolder
	if serve.IsSet(get, "DATABASE_URL") || settings.Load(get, &at) != nil {
		return get
	}
	return layer(get, map[string]string{"DATABASE_URL": "sqlite://" + at.DataDir})
}

// layer gives defaults to names that the lookup has no value for.
func layer(get func(string) string, defaults map[string]string) func(string) string {
	return settings.Layer(get, func(name string) string { return defaults[name] })
}
