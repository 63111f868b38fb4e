package allinone

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// settings reads every setting, as the program would that is to run.
func (d *doctor) settings(context.Context) []Finding {
	d.config = &config{}
	d.env = serve.KnowTargets(d.env)
	modes := serve.Modes(d.env.Get)
	if d.production() {
		modes = serve.Modes(d.env.Get, settings.Serve)
	}
	wrongs := []error{settings.Load(d.env.Get, d.config, modes...), d.env.Refused()}
	for _, i := range integration.All() {
		if !i.Optional && d.real(i.Name) { // in development, only those serve that have settings
			wrongs = append(wrongs, d.config.validateService(i.Service))
		}
	}
	var found []Finding
	if wrong := (*settings.Error)(nil); errors.As(settings.Join(wrongs...), &wrong) {
		for _, p := range wrong.Problems {
			found = append(found, failure(p.Name, p.What, p.Fix))
		}
	}
	for _, p := range d.env.Suspects() {
		found = append(found, warning(p.Name, p.What, p.Fix))
	}
	found = append(found, d.certificates()...)
	if d.production() {
		return append(append(found, d.notices()...), d.plainAddresses()...)
	}
	return append(found, d.liveKeys()...)
}

// notices are what a production process logs at its start: test keys, and what does not work without a setting.
func (d *doctor) notices() []Finding {
	all, err := settings.Notices(d.config)
	if err != nil {
		return []Finding{failure("", err.Error(), "report this: it is a defect of Trivet")}
	}
	var found []Finding
	for _, n := range all {
		f := warning(n.Name, strings.TrimPrefix(n.Text, n.Name+" "), "set "+n.Name+" to the value of the live instance")
		if n.Level >= slog.LevelError {
			f.Level = FindingError
		}
		found = append(found, f)
	}
	return found
}

// liveKeys reports keys that reach real users and real money outside of production.
func (d *doctor) liveKeys() []Finding {
	var found []Finding
	for _, name := range settings.Known() {
		secrets, err := settings.ReadSecrets(d.env.Get, name, "")
		if err != nil {
			continue // the settings' own check reports it
		}
		for _, value := range secrets.Reveal() {
			if strings.HasPrefix(value, "sk_live_") || strings.HasPrefix(value, "rk_live_") || strings.HasPrefix(value, "pk_live_") {
				found = append(found, warning(name, "is a live key, and TRIVET_ENV is development: tests would reach real users and real money",
					"use a test key, or set TRIVET_ENV=production"))
				break
			}
		}
	}
	return found
}

// plainAddresses reports addresses to which keys and users' data would go without encryption.
func (d *doctor) plainAddresses() []Finding {
	addresses := map[string]*url.URL{"CLERK_API_URL": d.config.Auth.APIURL, "OPENAI_BASE_URL": d.config.AI.BaseURL, "STRIPE_API_URL": d.config.Billing.StripeAPIURL}
	for name, secret := range d.receivers() {
		if at, err := url.Parse(secret.Reveal()); err == nil {
			addresses[name] = at
		}
	}
	if name, traces := d.config.traces(); traces != nil {
		addresses[name] = traces
	}
	var found []Finding
	for _, name := range settings.Known() {
		if at := addresses[name]; at != nil && at.Scheme == "http" && !loopback(net.JoinHostPort(at.Hostname(), "0")) {
			found = append(found, warning(name, "is plain HTTP: data sent there can be read in transit", "write https://"))
		}
	}
	for _, origin := range d.config.Gateway.AllowedOrigins {
		if strings.HasPrefix(origin, "http://") {
			found = append(found, warning("CORS_ALLOWED_ORIGINS", origin+" is plain HTTP: anyone on the network path can use its users' sessions", "allow https:// origins only"))
		}
	}
	for _, at := range []serve.Listening{{Setting: "TRIVET_OPS_ADDR", Address: d.config.Host.OpsAddr}, {Setting: "TRIVET_GRPC_ADDR", Address: d.config.Host.GRPCAddr}} {
		if !loopback(at.Address) {
			found = append(found, warning(at.Setting, "is reachable from other machines", "make sure that only your own machines reach it"))
		}
	}
	return found
}

// traces returns the address that the headers of exported traces go to, and its setting; nil without headers.
func (c *config) traces() (string, *url.URL) {
	t := c.Host.Trace
	if !t.TraceHeaders.IsSet() || t.TraceExporter == "none" {
		return "", nil
	}
	name, address := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", t.TraceURL
	if address == "" {
		name, address = "OTEL_EXPORTER_OTLP_ENDPOINT", t.TraceBase
	}
	at, err := url.Parse(address)
	if err != nil {
		return "", nil // the settings' own check reports it
	}
	return name, at
}

// real reports whether the real provider is meant, and its settings can be used.
func (d *doctor) real(name string) bool {
	i, ok := integration.Named(name)
	return ok && d.config != nil && serve.IsReal(d.env.Get, i)
}

// absent says why an integration is not examined.
func (d *doctor) absent(name string) string {
	i, ok := integration.Named(name)
	if !ok {
		return "it is not an integration of this version"
	}
	reason := i.RealSettings[0] + " is not set"
	if !d.production() {
		reason += "; in development the sandbox stands in"
	}
	return reason
}

// unusable says that a check needs settings which are missing or wrong.
func unusable(names ...string) string {
	return strings.Join(names, " or ") + " is missing or wrong"
}

// certificateWarning is how long before its end a certificate is reported.
const certificateWarning = 14 * 24 * time.Hour

// certificates reports a certificate of gRPC that has expired or ends soon.
func (d *doctor) certificates() []Finding {
	leaf, err := d.config.Host.Mutual.Certificate()
	if err != nil || leaf == nil {
		return nil // the settings' own check reports it
	}
	const name, fix = "TRIVET_GRPC_TLS_CERT", "renew it; its file is read again without a restart"
	switch now := d.Now(); {
	case now.Before(leaf.NotBefore):
		return []Finding{failure(name, "is valid only from "+leaf.NotBefore.UTC().Format(time.RFC3339), "check this machine's clock, or wait")}
	case now.After(leaf.NotAfter):
		return []Finding{failure(name, "has expired on "+leaf.NotAfter.UTC().Format(time.RFC3339), fix)}
	case leaf.NotAfter.Sub(now) < certificateWarning:
		return []Finding{warning(name, "expires on "+leaf.NotAfter.UTC().Format(time.RFC3339), fix)}
	}
	return nil
}
