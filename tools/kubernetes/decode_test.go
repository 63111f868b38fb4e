package kubernetes_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	root    = "../.."
	base    = root + "/deploy/kubernetes/base"
	example = root + "/deploy/kubernetes/example"
	split   = root + "/deploy/kubernetes/split"
)

// kustomization has the fields of kustomize's type that the files use.
type kustomization struct {
	metav1.TypeMeta    `json:",inline"`
	Namespace          string      `json:"namespace"`
	Resources          []string    `json:"resources"`
	Images             []image     `json:"images"`
	ConfigMapGenerator []configMap `json:"configMapGenerator"`
}

type image struct {
	Name    string `json:"name"`
	NewName string `json:"newName"`
	NewTag  string `json:"newTag"`
}

type configMap struct {
	Name     string   `json:"name"`
	Behavior string   `json:"behavior"`
	Literals []string `json:"literals"`
}

// kinds are the types that the manifests may have.
var kinds = map[string]func() any{
	"v1 Namespace":                                  func() any { return new(corev1.Namespace) },
	"v1 Service":                                    func() any { return new(corev1.Service) },
	"v1 ServiceAccount":                             func() any { return new(corev1.ServiceAccount) },
	"apps/v1 Deployment":                            func() any { return new(appsv1.Deployment) },
	"batch/v1 Job":                                  func() any { return new(batchv1.Job) },
	"policy/v1 PodDisruptionBudget":                 func() any { return new(policyv1.PodDisruptionBudget) },
	"networking.k8s.io/v1 NetworkPolicy":            func() any { return new(networkingv1.NetworkPolicy) },
	"kustomize.config.k8s.io/v1beta1 Kustomization": func() any { return new(kustomization) },
}

// decode reads one manifest into its type, as an API server with strict field validation does: unknown and repeated fields are errors,
// and names count to the letter.
func decode(raw []byte) (any, error) {
	converted, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, err
	}
	var kind metav1.TypeMeta
	if err := json.UnmarshalCaseSensitivePreserveInts(converted, &kind); err != nil {
		return nil, err
	}
	fresh, ok := kinds[kind.APIVersion+" "+kind.Kind]
	if !ok {
		return nil, fmt.Errorf("there is no kind %q of %q", kind.Kind, kind.APIVersion)
	}
	object := fresh()
	strict, err := json.UnmarshalStrict(converted, object)
	return object, errors.Join(append(strict, err)...)
}

// read decodes a file that holds one document of type T.
func read[T any](t *testing.T, path string) T {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotRegexp(t, `(?m)^---`, string(raw), "%s: one document in a file", path)
	object, err := decode(raw)
	require.NoError(t, err, path)
	typed, ok := object.(T)
	require.True(t, ok, "%s is a %T", path, object)
	return typed
}

// Each file is of a known type, and its folder's kustomization lists it; there is no file that kustomize would leave out.
func TestManifestsAreListedAndDecodeStrictly(t *testing.T) {
	for _, folder := range []string{base, split, example} {
		listed := read[*kustomization](t, filepath.Join(folder, "kustomization.yaml")).Resources
		require.NotEmpty(t, listed)
		for _, resource := range listed {
			_, err := os.Stat(filepath.Join(folder, resource))
			require.NoError(t, err)
		}
		files, err := os.ReadDir(folder)
		require.NoError(t, err)
		for _, file := range files {
			if file.Name() == "kustomization.yaml" {
				continue
			}
			require.Contains(t, listed, file.Name())
			object := read[metav1.Object](t, filepath.Join(folder, file.Name()))
			require.Equal(t, "trivet", object.GetLabels()["app.kubernetes.io/name"], file.Name())
			require.Empty(t, object.GetNamespace(), "kustomize sets the namespace")
		}
	}
	require.Contains(t, read[*kustomization](t, example+"/kustomization.yaml").Resources, "../base")
}

func TestDecodeRefusesMistakes(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec:\n  ports:\n    - {name: http, port: 80, targetPort: http}\n"
	_, err := decode([]byte(service))
	require.NoError(t, err)
	for name, wrong := range map[string]string{
		"unknown field":   "  portz: []\n",
		"field of others": "  replicas: 3\n",
		"letters":         "  clusterip: None\n",
		"repeated":        "  ports: []\n",
		"type":            "  publishNotReadyAddresses: yes please\n",
		"number for text": "  clusterIP: 1\n",
		"not YAML":        "  {\n",
	} {
		_, err := decode([]byte(service + wrong))
		require.Error(t, err, name)
	}
	_, err = decode([]byte("apiVersion: apps/v1beta1\nkind: Deployment\n"))
	require.ErrorContains(t, err, "there is no kind")
}
