package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/smallfile"
)

// rotation changes one of the keys in a folder that `trivet keys --dir` made. After each step, all processes must have read the files
// before the next one.
type rotation struct {
	// add makes a new key that is accepted but not yet used, use switches to it, and drop removes the old one.
	add, use, drop func() error
}

// rotations are those of the keys in a folder, by the name of the key.
func rotations(dir string) map[string]rotation {
	i := internalSecret{filepath.Join(dir, "shared", "internal.secret")}
	p := passportKeys{
		current: filepath.Join(dir, "private", "passport.key"), next: filepath.Join(dir, "private", "passport.key.next"),
		public: filepath.Join(dir, "shared", "passport.pub"),
	}
	return map[string]rotation{"internal": {i.add, i.use, i.drop}, "passport": {p.add, p.use, p.drop}}
}

func (p program) rotate() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "rotate internal|passport add|use|drop",
		Short: "Replace the internal secret, or the key that signs passports, in three steps",
		Long: "Replace a key in the files that `trivet keys --dir` made, without a refused request. `add` makes a new key that is accepted but\n" +
			"not yet used, `use` switches to it, and `drop` removes the old one. After each step, wait until every process has logged\n" +
			"\"the secrets were read again\": within two TRIVET_SECRET_RELOAD_INTERVAL, or at once after SIGHUP. Processes whose settings hold\n" +
			"the keys themselves, in place of the names of the files, must be restarted, one after another.",
		Example: "  trivet keys rotate internal add --dir /keys\n  trivet keys rotate internal use --dir /keys\n  trivet keys rotate internal drop --dir /keys",
		Args:    exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if dir == "" {
				return usagef("--dir is missing: name the folder that `trivet keys --dir` made")
			}
			r, known := rotations(dir)[args[0]]
			step := map[string]func() error{"add": r.add, "use": r.use, "drop": r.drop}[args[1]]
			if !known || step == nil {
				return usagef("%s %s is unknown: write internal or passport, and add, use or drop", args[0], args[1])
			}
			if err := step(); err != nil {
				return err
			}
			_, err := fmt.Fprintln(p.stdout, "the files are changed; before the next step, wait until every process has logged \"the secrets were read again\"")
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the folder with the keys")
	return cmd
}

var (
	errUnderWay = errors.New("a rotation is in progress: finish it with the steps use and drop")
	errNotBegun = errors.New("no rotation is in progress: start one with the step add")
)

// internalSecret is the file of the internal secrets, the one that is used first.
type internalSecret struct{ path string }

func (i internalSecret) change(want int, otherwise error, to func(secrets []string) []string) error {
	secrets, err := readList(i.path)
	if err != nil {
		return err
	}
	if len(secrets) != want {
		return otherwise
	}
	return replaceFile(i.path, to(secrets))
}

func (i internalSecret) add() error {
	secret := make([]byte, peer.MinSecret)
	if _, err := rand.Read(secret); err != nil {
		return fmt.Errorf("make a secret: %w", err)
	}
	return i.change(1, errUnderWay, func(s []string) []string { return append(s, base64.StdEncoding.EncodeToString(secret)) })
}

func (i internalSecret) use() error {
	return i.change(2, errNotBegun, func(s []string) []string { return []string{s[1], s[0]} })
}

func (i internalSecret) drop() error {
	return i.change(2, errNotBegun, func(s []string) []string { return s[:1] })
}

// passportKeys are the files of the key that signs passports, of the next one, and of the public keys that verify them.
type passportKeys struct{ current, next, public string }

func (p passportKeys) add() error {
	if _, err := os.Stat(p.next); !errors.Is(err, fs.ErrNotExist) {
		return errUnderWay
	}
	keys, err := readList(p.public)
	if err != nil {
		return err
	}
	if keys, err = p.begun(keys); err != nil {
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a passport key: %w", err)
	}
	// The private key comes last: without it, add can be repeated (see begun).
	if err := replaceFile(p.public, append(keys, base64.StdEncoding.EncodeToString(public))); err != nil {
		return err
	}
	return replaceFile(p.next, []string{base64.StdEncoding.EncodeToString(private.Seed())})
}

// begun returns the public keys to begin a rotation with. An add that ended between its two writes
// left a public key without a private key. It comes after the current key and is removed.
func (p passportKeys) begun(keys []string) ([]string, error) {
	if len(keys) == 1 {
		return keys, nil
	}
	present, err := publicOf(p.current)
	if err != nil {
		return nil, err
	}
	if len(keys) == 2 && keys[0] == present {
		return keys[:1], nil
	}
	return nil, errUnderWay
}

func (p passportKeys) use() error {
	public, err := publicOf(p.next)
	if errors.Is(err, fs.ErrNotExist) {
		return errNotBegun
	}
	if err != nil {
		return err
	}
	keys, err := readList(p.public)
	if err != nil {
		return err
	}
	if !slices.Contains(keys, public) {
		return fmt.Errorf("%s lacks the public key of %s: restore it", p.public, p.next)
	}
	return os.Rename(p.next, p.current)
}

func (p passportKeys) drop() error {
	if _, err := os.Stat(p.next); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("the new key is not used yet: take the step use first")
	}
	public, err := publicOf(p.current)
	if err != nil {
		return err
	}
	keys, err := readList(p.public)
	if err != nil {
		return err
	}
	if len(keys) < 2 {
		return errNotBegun
	}
	return replaceFile(p.public, []string{public})
}

// publicOf returns the public key of the private one in a file.
func publicOf(path string) (string, error) {
	keys, err := readList(path)
	if err != nil {
		return "", err
	}
	if len(keys) != 1 {
		return "", fmt.Errorf("%s has %d keys, must have one", path, len(keys))
	}
	private, err := passport.ParsePrivateKey(keys[0])
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	public, _ := private.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(public), nil
}

// maxKeyFile bounds a file of keys, in bytes.
const maxKeyFile = 1 << 20

// readList reads values that are separated by commas.
func readList(path string) (values []string, err error) {
	raw, err := smallfile.Read(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	for value := range strings.SplitSeq(strings.TrimSpace(string(raw)), ",") {
		if value = strings.TrimSpace(value); value != "" {
			values = append(values, value)
		}
	}
	return values, nil
}

// replaceFile writes values in one step, so that nobody reads half of them.
func replaceFile(path string, values []string) error {
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, []byte(strings.Join(values, ",")+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
