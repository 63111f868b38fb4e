package allinone

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// The levels of findings.
const (
	// FindingError is what does not work.
	FindingError = "error"
	// FindingWarning is what works and is unusual or dangerous.
	FindingWarning = "warning"
)

// Finding is something that an operator should change.
type Finding struct {
	// Level is FindingError or FindingWarning.
	Level string `json:"level"`
	// Setting is the setting that it is about; may be empty.
	Setting string `json:"setting,omitempty"`
	// What says what is wrong, and Fix what to do.
	What string `json:"what"`
	Fix  string `json:"fix"`
}

// Examined is a check and what it found.
type Examined struct {
	Check string `json:"check"`
	// Checked is false when nothing of it was examined.
	Checked  bool      `json:"checked"`
	Findings []Finding `json:"findings"`
	// NotChecked says what was not examined, and why. It is empty when everything was.
	NotChecked []string `json:"notChecked"`
}

// Diagnosis is the result of Doctor.
type Diagnosis struct {
	// Healthy is false when a finding is an error.
	Healthy bool       `json:"healthy"`
	Checks  []Examined `json:"checks"`
}

// DoctorOptions are the options of Doctor.
type DoctorOptions struct {
	// Progress receives a line before each check.
	Progress io.Writer
	// Transport makes the calls to the providers.
	Transport http.RoundTripper
	// Now is the clock.
	Now func() time.Time
	// Free returns the free bytes of the disk that holds a folder.
	Free func(folder string) (uint64, error)
}

const (
	// checkTime bounds one check.
	checkTime = 15 * time.Second
	// maxSkew is how much the clock may differ from a provider's.
	maxSkew = 5 * time.Second
)

// doctor holds what the checks share.
type doctor struct {
	DoctorOptions
	env    settings.Env
	config *config
	// skews are the differences between the providers' clocks and this one, by provider.
	skews map[string]time.Duration
	// current is the check that runs.
	current Examined
}

// Doctor examines the settings, the providers, the database and this machine. It only reads. Checks that need a setting which
// is missing or wrong are left out, and the diagnosis says so.
func Doctor(ctx context.Context, env settings.Env, options DoctorOptions) (*Diagnosis, error) {
	d := &doctor{DoctorOptions: options, env: env, skews: map[string]time.Duration{}}
	d.env.Get = serve.WithDefaults(withDatabase(env.Get))
	result := &Diagnosis{Healthy: true}
	for _, check := range []struct {
		name string
		run  func(context.Context) []Finding
	}{
		{"settings", d.settings},
		{"files", d.files},
		{"Clerk", d.clerk},
		{"OpenAI", d.openAI},
		{"targets", d.targets},
		{"Stripe", d.stripe},
		{"mail server", d.mailServer},
		{"receivers", d.reachReceivers},
		{"clock", d.clock},
		{"database", d.database},
		{"Redis", d.redis},
		{"disk", d.disk},
		{"ports", d.ports},
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintf(options.Progress, "checking %s …\n", check.name); err != nil {
			return nil, err
		}
		d.current = Examined{Check: check.name, Checked: true, Findings: []Finding{}, NotChecked: []string{}}
		within, cancel := context.WithTimeout(ctx, checkTime)
		d.current.Findings = append(d.current.Findings, check.run(within)...)
		cancel()
		for _, f := range d.current.Findings {
			result.Healthy = result.Healthy && f.Level != FindingError
		}
		result.Checks = append(result.Checks, d.current)
	}
	return result, nil
}

// skip notes that a part of the current check is left out.
func (d *doctor) skip(part, reason string) {
	if text := part + ": " + reason; !slices.Contains(d.current.NotChecked, text) {
		d.current.NotChecked = append(d.current.NotChecked, text)
	}
}

// skipAll notes that the current check is left out. It found nothing.
func (d *doctor) skipAll(reason string) []Finding {
	d.current.Checked, d.current.NotChecked = false, append(d.current.NotChecked, reason)
	return nil
}

// FreeBytes is the default of DoctorOptions.Free.
func FreeBytes(folder string) (uint64, error) { return freeBytes(folder) }

// production reports whether the installation serves production.
func (d *doctor) production() bool { return serve.InProduction(d.env.Get) }

func failure(setting, what, fix string) Finding {
	return Finding{Level: FindingError, Setting: setting, What: what, Fix: fix}
}

func warning(setting, what, fix string) Finding {
	return Finding{Level: FindingWarning, Setting: setting, What: what, Fix: fix}
}

// files checks who may read files that hold secrets.
func (d *doctor) files(context.Context) []Finding {
	var found []Finding
	none := d.env.File == ""
	for _, name := range settings.Known() {
		path := d.env.Get(name + "_FILE")
		if path == "" {
			continue
		}
		none = false
		found = append(found, d.private(name+"_FILE", path)...)
	}
	if none {
		return d.skipAll("no setting names a file")
	}
	if d.env.File != "" {
		found = append(found, d.private("", d.env.File)...)
	}
	return found
}

// private reports a file that other users of the machine may read or change.
func (d *doctor) private(setting, path string) []Finding {
	const others = 0o077
	at, err := os.Stat(path)
	if err != nil || at.Mode().Perm()&others == 0 { // the check of the settings reports a file that cannot be read
		return nil
	}
	what := fmt.Sprintf("other users of this machine may read or change the file (mode %04o)", at.Mode().Perm())
	if setting == "" {
		what = path + ": " + what
	}
	return []Finding{warning(setting, what, "run chmod 600 on it")}
}
