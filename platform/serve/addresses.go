package serve

import (
	"fmt"

	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Addresses are where a process of split mode finds the others.
type Addresses struct {
	// Auth is auth's gRPC address.
	Auth string `env:"TRIVET_AUTH_ADDR" help:"gRPC address of auth, in split mode: HOST:PORT, where HOST may have an address for each replica, or a list with commas"`
	// AI is ai's gRPC address.
	AI string `env:"TRIVET_AI_ADDR" help:"gRPC address of ai, in split mode: HOST:PORT, where HOST may have an address for each replica, or a list with commas"`
	// Billing is billing's gRPC address.
	Billing string `env:"TRIVET_BILLING_ADDR" help:"gRPC address of billing, in split mode: HOST:PORT, where HOST may have an address for each replica, or a list with commas"`
}

// located is a service's address and the setting that holds it.
type located struct{ setting, address string }

// Validate checks the addresses that are set.
func (a Addresses) Validate(settings.Modes) error {
	var found []error
	for _, at := range a.all() {
		if at.address == "" {
			continue
		}
		if err := connect.CheckAddress(at.address); err != nil {
			found = append(found, settings.Invalid(at.setting, err.Error(), "write HOST:PORT, such as 127.0.0.1:9090, or a list of them with commas"))
		}
	}
	return settings.Join(found...)
}

// all are the addresses by service.
func (a Addresses) all() map[string]located {
	return map[string]located{
		"auth":    {"TRIVET_AUTH_ADDR", a.Auth},
		"ai":      {"TRIVET_AI_ADDR", a.AI},
		"billing": {"TRIVET_BILLING_ADDR", a.Billing},
	}
}

// Of returns a service's address, "" when it is not set.
func (a Addresses) Of(service string) string { return a.all()[service].address }

// missing names the addresses that a program needs and that are not set.
func (a Addresses) missing(program Program) error {
	var found []error
	for _, name := range program.Needs {
		if at := a.all()[name]; at.address == "" {
			found = append(found, settings.Invalid(at.setting, "is not set",
				fmt.Sprintf("set it to the gRPC address of %s, such as 127.0.0.1:9090; %s calls it", name, program.Name)))
		}
	}
	return settings.Join(found...)
}
