package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// stage is a part of the work of a call, told by the functions that do it.
type stage struct {
	name string
	at   *regexp.Regexp
}

// collector is the stage of the garbage collector, wherever it runs.
var collector = stage{"garbage collection", regexp.MustCompile(`^runtime\.(gcBgMarkWorker|gcAssistAlloc|bgsweep|bgscavenge|gcStart|gcMarkTermination|deductSweepCredit|\(\*mcentral\)\.cacheSpan|wakeScavenger)`)}

// stages are tried for each function of a stack, from the innermost one outwards: the first function that has a stage decides.
// The functions of the runtime and of helping packages have none, so their work belongs to who calls them.
var stages = func() (all []stage) {
	for _, s := range [][2]string{
		{"database: commit and fsync", `(_unixSync|_vdbeCommit|_walWriteLock|commitSQLite)`},
		{"database: statements", `^(modernc\.org/|database/sql\.|github\.com/jackc/)|/platform/database\.`},
		{"billing: reserve and settle", `/services/billing/`},
		{"validation", `^(buf\.build/go/protovalidate|github\.com/google/cel-go)`},
		{"gRPC, protobuf", `^google\.golang\.org/(grpc|protobuf)`},
		{"log line", `^log/slog\.|/platform/telemetry\.|provider\.\(\*Attempt\)|provider\.record`},
		{"metrics", `^go\.opentelemetry\.io/`},
		{"HTTP client", `^net/http\.(\(\*(persistConn|Transport|bodyEOFSignal|transferWriter|wantConn|transportRequest)\)|persistConnWriter|ReadResponse|\(\*Request\)\.write)`},
		{"HTTP server", `^net/http\.(\(\*(conn|response|connReader|chunkWriter|ResponseController)\)|checkConnErrorWriter|readRequest|serverHandler)`},
		{"provider transport", `/platform/provider\.`},
		{"ai: read the request", `/services/ai/internal/wire\.(Parse|\(\*Request\))`},
		{"ai: read the answer", `/services/ai/internal/(wire|sse|jsonscan|meter|form|tokens)\.`},
		{"ai: limits and plans", `/services/ai/internal/(limit|plan)\.`},
		{"ai: hold and settlement", `/services/ai/internal/hold\.`},
		{"ai: targets and headers", `/services/ai/internal/upstream\.`},
		{"ai: the call", `/services/ai/`},
		{"calls between services", `/platform/(grpcserver|connect|inprocess|peer|passport)\.|/internal/allinone\.`},
		{"edge: credential", `/platform/credential\.|/gateway/internal/bearer\.`},
		{"edge", `/gateway`},
	} {
		all = append(all, stage{s[0], regexp.MustCompile(s[1])})
	}
	return all
}()

// The stages of stacks that no function has a stage for.
const schedulerStage, otherStage = "scheduler, network poller", "other"

var schedulerAt = regexp.MustCompile(`^runtime\.(mcall|park_m|schedule|findRunnable|mstart|goexit0|netpoll|sysmon|gosched_m|goschedImpl)`)

// crossings are costs that lie across the stages.
var crossings = []stage{
	{"allocation", regexp.MustCompile(`^runtime\.(mallocgc|newobject|makeslice|growslice|makemap|makechan)`)},
	{"growth of stacks", regexp.MustCompile(`^runtime\.(newstack|copystack)`)},
	{"system calls", regexp.MustCompile(`^(internal/runtime/syscall|syscall)`)},
	{"goroutines and channels", regexp.MustCompile(`^runtime\.(newproc|chansend|chanrecv|selectgo|ready|goready|gopark)`)},
	{"timers", regexp.MustCompile(`^(runtime\.\(\*timers?\)|runtime\.(newTimer|stopTimer|resetTimer|poll_runtime_pollSetDeadline)|time\.(NewTimer|AfterFunc))`)},
}

// stageOf returns the stage of a stack, whose first function is the innermost one.
func stageOf(stack []string) string {
	if slices.ContainsFunc(stack, collector.at.MatchString) {
		return collector.name
	}
	for _, function := range stack {
		for _, s := range stages {
			if s.at.MatchString(function) {
				return s.name
			}
		}
	}
	if slices.ContainsFunc(stack, schedulerAt.MatchString) {
		return schedulerStage
	}
	return otherStage
}

// costs are shares of the samples of a profile, by stage and by crossing.
type costs struct {
	stages, crossings map[string]float64
}

// readTraces sums the samples that "go tool pprof -traces" lists: a stack after each rule, with its time before the innermost function.
func readTraces(r io.Reader) (costs, error) {
	c := costs{map[string]float64{}, map[string]float64{}}
	var took time.Duration
	var all float64
	var stack []string
	add := func() {
		if len(stack) == 0 {
			return
		}
		n := float64(took)
		all += n
		c.stages[stageOf(stack)] += n
		for _, x := range crossings {
			if slices.ContainsFunc(stack, x.at.MatchString) {
				c.crossings[x.name] += n
			}
		}
		stack = nil
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	inside := false
	for lines.Scan() {
		text := strings.TrimSpace(strings.TrimSuffix(lines.Text(), " (inline)"))
		if strings.HasPrefix(text, "-----") {
			add()
			inside = true
			continue
		}
		if !inside || text == "" {
			continue
		}
		if len(stack) == 0 {
			first, rest, _ := strings.Cut(text, " ")
			d, err := time.ParseDuration(first)
			if err != nil {
				continue // a label of the sample
			}
			took, text = d, strings.TrimSpace(rest)
		}
		stack = append(stack, text)
	}
	add()
	for _, sums := range []map[string]float64{c.stages, c.crossings} {
		for name := range sums {
			sums[name] /= max(all, 1)
		}
	}
	return c, lines.Err()
}

// showStages prints what a call costs by stage: the shares of the profiles that this run has written, of the CPU per request that it
// has measured.
func (b *bench) showStages(ctx context.Context, w io.Writer, measured map[string]time.Duration) error {
	paths, err := filepath.Glob(filepath.Join(b.o.profiles, "*.cpu.pprof"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".cpu.pprof")
		cpu, known := measured[name]
		if !known {
			continue
		}
		text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", path).Output() //nolint:gosec // a profile of our own
		if err != nil {
			return fmt.Errorf("go tool pprof: %w", err)
		}
		c, err := readTraces(strings.NewReader(string(text)))
		if err != nil {
			return err
		}
		if err := c.show(w, name, cpu); err != nil {
			return err
		}
	}
	return nil
}

// show prints the stages, the dearest first, and the crossings after a line.
func (c costs) show(w io.Writer, name string, cpu time.Duration) error {
	fmt.Fprintf(w, "\n%s: µs of CPU per request by stage\n", name)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, sums := range []map[string]float64{c.stages, c.crossings} {
		prefix := ""
		if i > 0 {
			prefix = "of it: "
		}
		names := make([]string, 0, len(sums))
		for name := range sums {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			if sums[a] == sums[b] {
				return strings.Compare(a, b)
			}
			if sums[a] > sums[b] {
				return -1
			}
			return 1
		})
		for _, name := range names {
			fmt.Fprintf(table, "%s%s\t%s\t%.1f %%\t\n", prefix, name, strconv.FormatFloat(sums[name]*float64(cpu)/1000, 'f', 1, 64), sums[name]*100)
		}
	}
	return table.Flush()
}

// profileName is the name of the profiles of a process in a case, without what they are of.
func profileName(t *target, process int, c benchCase) string {
	part := strconv.Itoa(process)
	if process < len(t.parts) {
		part = t.parts[process]
	}
	return fmt.Sprintf("%s-%s-%d-%t", strings.ReplaceAll(t.name, ", ", "-"), part, c.callers, c.stream)
}

// profilesFolder makes a folder for the profiles of a run that only wants the stages.
func profilesFolder(o *options) (remove func() error, err error) {
	if !o.stages || o.profiles != "" {
		return func() error { return nil }, nil
	}
	o.profiles, err = os.MkdirTemp("", "bench-stages-")
	return func() error { return os.RemoveAll(o.profiles) }, err
}
