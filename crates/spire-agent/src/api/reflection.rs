//! `grpc.reflection.v1` and `v1alpha`: tools learn what the public socket offers (CA-435).
//!
//! Our own rather than the library's, because that one ends the stream at the first unknown name, where Go answers it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use spire_net::serve::reworded;
use tonic::{Code, Request, Response, Status, Streaming};

/// Files and the names in them.
#[derive(Debug, Default)]
pub struct Schema {
    files: BTreeMap<String, File>,
    /// From full name to file.
    symbols: HashMap<String, String>,
    services: Vec<String>,
}

#[derive(Debug)]
struct File {
    encoded: Vec<u8>,
    dependencies: Vec<String>,
}

/// A name that nobody knows.
const NOT_FOUND: &str = "proto: not found";

/// What is answered, whatever the version of the protocol.
enum Answer {
    Files(Vec<Vec<u8>>),
    Services(Vec<String>),
    Extensions(String),
    Error(Code, &'static str),
}

impl Schema {
    /// `services` are those that are really served; the sets may hold more.
    pub fn new(sets: &[&[u8]], services: Vec<String>) -> Result<Self, prost::DecodeError> {
        let mut schema = Self { services, ..Self::default() };
        schema.services.sort_unstable();
        for set in sets {
            for mut file in FileDescriptorSet::decode(*set)?.file {
                // Upstream's programs have it at the top; clients ask for it by that name.
                if file.name() == "spiffe/workload/workload.proto" {
                    file.name = Some("workload.proto".to_owned());
                }
                schema.add(&file);
            }
        }
        Ok(schema)
    }

    fn add(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        for message in &file.message_type {
            self.add_message(package, message, file.name());
        }
        for kind in &file.enum_type {
            self.symbols.insert(joined(package, kind.name()), file.name().to_owned());
        }
        for service in &file.service {
            let name = joined(package, service.name());
            for method in &service.method {
                self.symbols.insert(joined(&name, method.name()), file.name().to_owned());
            }
            self.symbols.insert(name, file.name().to_owned());
        }
        let (encoded, dependencies) = (file.encode_to_vec(), file.dependency.clone());
        self.files.insert(file.name().to_owned(), File { encoded, dependencies });
    }

    fn add_message(&mut self, outer: &str, message: &DescriptorProto, file: &str) {
        let name = joined(outer, message.name());
        for inner in &message.nested_type {
            self.add_message(&name, inner, file);
        }
        for kind in &message.enum_type {
            self.symbols.insert(joined(&name, kind.name()), file.to_owned());
        }
        for field in &message.field {
            self.symbols.insert(joined(&name, field.name()), file.to_owned());
        }
        self.symbols.insert(name, file.to_owned());
    }

    /// The file and all that it needs, each once per stream.
    fn files(&self, name: Option<&String>, sent: &mut HashSet<String>) -> Answer {
        let Some(name) = name.filter(|name| self.files.contains_key(*name)) else {
            return Answer::Error(Code::NotFound, NOT_FOUND);
        };
        let mut queue = VecDeque::from([name]);
        let mut files = Vec::new();
        while let Some(name) = queue.pop_front() {
            let Some(file) = self.files.get(name) else { continue };
            if sent.insert(name.clone()) {
                files.push(file.encoded.clone());
            } else if files.is_empty() {
                // What was asked for is sent however often it is asked for.
                files.push(file.encoded.clone());
                continue;
            } else {
                continue;
            }
            queue.extend(&file.dependencies);
        }
        Answer::Files(files)
    }
}

fn joined(outer: &str, name: &str) -> String {
    if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") }
}

/// Serves both versions.
#[derive(Debug, Clone)]
pub struct ReflectionApi(pub Arc<Schema>);

macro_rules! reflection {
    ($version:ident) => {
        mod $version {
            use super::*;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::server_reflection_server::ServerReflection;
            use tonic_reflection::pb::$version::{
                ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
                ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
            };

            fn answer(
                schema: &Schema,
                request: &ServerReflectionRequest,
                sent: &mut HashSet<String>,
            ) -> Result<Answer, Status> {
                Ok(match &request.message_request {
                    Some(MessageRequest::FileByFilename(name)) => schema.files(Some(name), sent),
                    Some(MessageRequest::FileContainingSymbol(symbol)) => {
                        schema.files(schema.symbols.get(symbol), sent)
                    }
                    Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                        match schema.symbols.contains_key(name) {
                            true => Answer::Extensions(name.clone()),
                            false => Answer::Error(Code::NotFound, NOT_FOUND),
                        }
                    }
                    Some(MessageRequest::FileContainingExtension(_)) => {
                        Answer::Error(Code::NotFound, NOT_FOUND)
                    }
                    Some(MessageRequest::ListServices(_)) => Answer::Services(schema.services.clone()),
                    None => return Err(Status::invalid_argument("invalid MessageRequest: <nil>")),
                })
            }

            fn to_wire(answer: Answer) -> MessageResponse {
                match answer {
                    Answer::Files(files) => MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                        file_descriptor_proto: files,
                    }),
                    Answer::Services(names) => {
                        let service = names.into_iter().map(|name| ServiceResponse { name }).collect();
                        MessageResponse::ListServicesResponse(ListServiceResponse { service })
                    }
                    Answer::Extensions(base_type_name) => {
                        MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                            base_type_name,
                            extension_number: Vec::new(),
                        })
                    }
                    Answer::Error(code, text) => MessageResponse::ErrorResponse(ErrorResponse {
                        error_code: code.into(),
                        error_message: text.to_owned(),
                    }),
                }
            }

            #[tonic::async_trait]
            impl ServerReflection for ReflectionApi {
                type ServerReflectionInfoStream =
                    Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let schema = self.0.clone();
                    let mut sent = HashSet::new();
                    let answers = request.into_inner().map(move |request| {
                        let request = request.map_err(reworded)?;
                        let answer = answer(&schema, &request, &mut sent)?;
                        Ok(ServerReflectionResponse {
                            valid_host: request.host.clone(),
                            original_request: Some(request),
                            message_response: Some(to_wire(answer)),
                        })
                    });
                    Ok(Response::new(Box::pin(answers)))
                }
            }
        }
    };
}

reflection!(v1);
reflection!(v1alpha);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_with_the_files_they_need_and_unknown_ones_are_not() {
        // CA-435: grpcurl and the like can talk to the agent without our protos.
        let schema = Schema::new(&[spire_proto::descriptors::WORKLOAD], vec!["SpiffeWorkloadAPI".to_owned()]);
        let schema = schema.unwrap();
        let mut sent = HashSet::new();
        for symbol in ["SpiffeWorkloadAPI", "SpiffeWorkloadAPI.FetchX509SVID", "X509SVIDResponse"] {
            assert!(schema.symbols.contains_key(symbol), "{symbol}");
        }
        let file = schema.symbols.get("SpiffeWorkloadAPI");
        assert_eq!(file.unwrap(), "workload.proto");
        let Answer::Files(files) = schema.files(file, &mut sent) else { panic!("no files") };
        assert_eq!(files.len(), 2, "struct.proto is imported");
        let Answer::Files(again) = schema.files(file, &mut sent) else { panic!("no files") };
        assert_eq!(again.len(), 1);
        assert!(matches!(schema.files(None, &mut sent), Answer::Error(Code::NotFound, _)));
    }
}
