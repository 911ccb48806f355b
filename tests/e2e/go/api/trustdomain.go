package main

import (
	"fmt"
	"strings"

	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

func (s *site) trustDomains(by caller) {
	c := trustdomainv1.NewTrustDomainClient(by.conn)
	other := by.name + ".federated.test"
	web := func(td, url string) *types.FederationRelationship {
		return &types.FederationRelationship{TrustDomain: td, BundleEndpointUrl: url, BundleEndpointProfile: &types.FederationRelationship_HttpsWeb{HttpsWeb: &types.HTTPSWebProfile{}}}
	}
	spiffe := func(td, id string) *types.FederationRelationship {
		return &types.FederationRelationship{TrustDomain: td, BundleEndpointUrl: "https://127.0.0.1:1/bundle", BundleEndpointProfile: &types.FederationRelationship_HttpsSpiffe{HttpsSpiffe: &types.HTTPSSPIFFEProfile{EndpointSpiffeId: id}}}
	}
	bad := []*types.FederationRelationship{
		nil,
		web(s.td, "https://x.test"),
		web("no such domain", "https://x.test"),
		web("c.test", "http://x.test"),
		web("c.test", "https://"),
		{TrustDomain: "c.test", BundleEndpointUrl: "https://x.test"},
		spiffe("c.test", "no id"),
	}
	tell := func(r *types.FederationRelationship) string {
		return fmt.Sprintf("%s %s spiffe=%s", r.GetTrustDomain(), r.GetBundleEndpointUrl(), r.GetHttpsSpiffe().GetEndpointSpiffeId())
	}
	s.call(by, "TrustDomain/BatchCreateFederationRelationship", "good, again, bad ones", ask(c.BatchCreateFederationRelationship,
		&trustdomainv1.BatchCreateFederationRelationshipRequest{FederationRelationships: append([]*types.FederationRelationship{
			web(other, "https://127.0.0.1:1/bundle"), web(other, "https://127.0.0.1:1/bundle"), spiffe("spiffe."+other, "spiffe://spiffe."+other+"/server")}, bad...)},
		func(r *trustdomainv1.BatchCreateFederationRelationshipResponse) string {
			return statuses(r.Results) + "; " + tell(r.Results[0].FederationRelationship) + ", " + tell(r.Results[2].FederationRelationship)
		}))
	get := func(name, td string) {
		s.call(by, "TrustDomain/GetFederationRelationship", name, ask(c.GetFederationRelationship, &trustdomainv1.GetFederationRelationshipRequest{TrustDomain: td}, tell))
	}
	get("good", other)
	get("unknown", "nobody.test")
	get("bad", "no such domain")
	get("none", "")
	s.call(by, "TrustDomain/BatchUpdateFederationRelationship", "good, unknown, bad ones", ask(c.BatchUpdateFederationRelationship,
		&trustdomainv1.BatchUpdateFederationRelationshipRequest{
			FederationRelationships: append([]*types.FederationRelationship{web(other, "https://127.0.0.1:1/new"), web("nobody.test", "https://x.test")}, bad...),
			InputMask:               &types.FederationRelationshipMask{BundleEndpointUrl: true},
		},
		func(r *trustdomainv1.BatchUpdateFederationRelationshipResponse) string {
			return statuses(r.Results) + "; " + tell(r.Results[0].FederationRelationship)
		}))
	list := func(name string, request *trustdomainv1.ListFederationRelationshipsRequest) {
		s.call(by, "TrustDomain/ListFederationRelationships", name, ask(c.ListFederationRelationships, request, func(r *trustdomainv1.ListFederationRelationshipsResponse) string {
			var domains []string
			for _, relationship := range r.FederationRelationships {
				domains = append(domains, relationship.TrustDomain)
			}
			return strings.Join(domains, " ")
		}))
	}
	list("all", &trustdomainv1.ListFederationRelationshipsRequest{})
	list("a page", &trustdomainv1.ListFederationRelationshipsRequest{PageSize: 1})
	list("bad token", &trustdomainv1.ListFederationRelationshipsRequest{PageSize: 1, PageToken: "x"})
	refresh := func(name, td string) {
		s.call(by, "TrustDomain/RefreshBundle", name, ask(c.RefreshBundle, &trustdomainv1.RefreshBundleRequest{TrustDomain: td}, nothing))
	}
	refresh("unknown", "nobody.test")
	refresh("bad", "no such domain")
	s.call(by, "TrustDomain/BatchDeleteFederationRelationship", "good, again, bad", ask(c.BatchDeleteFederationRelationship,
		&trustdomainv1.BatchDeleteFederationRelationshipRequest{TrustDomains: []string{other, "spiffe." + other, other, "no such domain", ""}},
		func(r *trustdomainv1.BatchDeleteFederationRelationshipResponse) string { return statuses(r.Results) }))
}
