// The Check and Diff of pulumi-terraform-bridge for resource types that are given as data, over gRPC.
//
// pulumi-aws is the bridge over terraform-provider-aws. The provider does not build here, and Check and Diff do not need
// it: the bridge answers both from a schema.
//
// Usage: bridge SCHEMAS.json. It prints its port, and ends when its standard input does.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// resourceType is one type of pulumi-aws as SCHEMAS.json gives it; README.md beside it says what the fields mean.
type resourceType struct {
	Token               string          `json:"-"`
	Terraform           string          `json:"terraform"`
	Framework           bool            `json:"framework"`
	Tags                bool            `json:"tags"`
	Regional            bool            `json:"regional"`
	DeleteBeforeReplace bool            `json:"deleteBeforeReplace"`
	AutoName            *autoName       `json:"autoName"`
	Schema              json.RawMessage `json:"schema"`
}

type autoName struct {
	Field    string `json:"field"`
	Property string `json:"property"`
	Longest  int    `json:"longest"`
	Lower    bool   `json:"lower"`
}

// preCheck is what pulumi-aws does to the inputs first (provider/tags.go applyTags, provider/region.go applyRegion).
func (t resourceType) preCheck(_ context.Context, inputs, config resource.PropertyMap) (resource.PropertyMap, error) {
	inputs = inputs.Copy()
	if t.Tags {
		inputs["tagsAll"] = resource.NewObjectProperty(resource.PropertyMap{})
		if tags, given := inputs["tags"]; given {
			inputs["tagsAll"] = tags
		}
	}
	if _, given := inputs["region"]; t.Regional && !given {
		inputs["region"] = config["region"]
	}
	return inputs, nil
}

// bridge passes each question to the part that has its type: plugin SDK or plugin framework.
type bridge struct {
	pulumirpc.UnimplementedResourceProviderServer
	sdk, framework pulumirpc.ResourceProviderServer
	ofFramework    map[string]bool
}

func (b *bridge) of(urn string) pulumirpc.ResourceProviderServer {
	if b.ofFramework[string(resource.URN(urn).Type())] {
		return b.framework
	}
	return b.sdk
}

func (b *bridge) Configure(
	ctx context.Context, request *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	if _, err := b.framework.Configure(ctx, request); err != nil {
		return nil, err
	}
	return b.sdk.Configure(ctx, request)
}

func (b *bridge) Check(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return b.of(request.GetUrn()).Check(ctx, request)
}

func (b *bridge) Diff(ctx context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return b.of(request.GetUrn()).Diff(ctx, request)
}

func (b *bridge) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func read(path string) ([]resourceType, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var byToken map[string]resourceType
	if err := json.Unmarshal(text, &byToken); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var types []resourceType
	for token, each := range byToken {
		each.Token = token
		types = append(types, each)
	}
	return types, nil
}

// words are the parts of a field's description, such as `string optional default=StepScaling`.
func words(text string) (kind string, flags map[string]string) {
	kind, rest, _ := strings.Cut(text, " ")
	flags = map[string]string{}
	for _, word := range strings.Fields(rest) {
		name, value, _ := strings.Cut(word, "=")
		flags[name] = value
	}
	return kind, flags
}

func has(flags map[string]string, name string) bool {
	_, found := flags[name]
	return found
}

func serve(types []resourceType) error {
	ctx := context.Background()
	framework, err := newFramework(ctx, types)
	if err != nil {
		return err
	}
	server := &bridge{sdk: newSDK(ctx, types), framework: framework, ofFramework: map[string]bool{}}
	for _, each := range types {
		server.ofFramework[each.Token] = each.Framework
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listening := grpc.NewServer()
	pulumirpc.RegisterResourceProviderServer(listening, server)
	go func() { _ = listening.Serve(listener) }()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

func main() {
	types, err := read(os.Args[1])
	if err == nil {
		err = serve(types)
	}
	if err != nil {
		log.Fatal(err)
	}
}
