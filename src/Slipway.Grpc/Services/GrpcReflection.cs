using System.Buffers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Slipway.Grpc;

/// <summary>
/// <c>grpc.reflection</c> (v1 and v1alpha): which services there are, as mapped, and the descriptors that were added. Fill it before
/// the server starts.
/// </summary>
public sealed class GrpcReflection
{
    /// <summary>A request is one name; nobody's is near this.</summary>
    private const int MaxRequestBytes = 16 * 1024;

    private readonly DescriptorIndex descriptors = new();

    /// <summary>Adds a serialised <c>google.protobuf.FileDescriptorSet</c>, as <c>protoc --include_imports --descriptor_set_out</c> writes it.</summary>
    public void AddSet(ReadOnlySpan<byte> fileDescriptorSet)
    {
        var set = new ProtoReader(fileDescriptorSet);
        while (set.Read())
        {
            if (set.Field == 1)
            {
                Add(set.Bytes);
            }
        }
    }

    /// <summary>Adds a serialised <c>google.protobuf.FileDescriptorProto</c>.</summary>
    public void Add(ReadOnlySpan<byte> fileDescriptor) => descriptors.Add(fileDescriptor);

    internal IEnumerable<IEndpointConventionBuilder> Map(IEndpointRouteBuilder endpoints)
    {
        var stopping = endpoints.ServiceProvider.GetService<IHostApplicationLifetime>()?.ApplicationStopping ?? CancellationToken.None;
        foreach (var version in (string[])["v1", "v1alpha"])
        {
            yield return endpoints.MapGrpc(
                $"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo", GrpcMethodKind.BidiStreaming, call => AnswerAsync(call, stopping), MaxRequestBytes);
        }
    }

    private async ValueTask AnswerAsync(GrpcCall call, CancellationToken stopping)
    {
        using var stop = stopping.UnsafeRegister(
            static call => ((GrpcCall)call!).Cut(new GrpcException(GrpcStatus.Unavailable, "The server is stopping.")), call);
        var endpoints = call.Http.RequestServices.GetRequiredService<EndpointDataSource>();
        while (await call.ReadMessageAsync().ConfigureAwait(false) is { } message)
        {
            call.WriteMessage(Answer(message.ToArray(), endpoints));
            await call.FlushAsync().ConfigureAwait(false);
        }
    }

    // ServerReflectionRequest: 1 host, 3 file_by_filename, 4 file_containing_symbol, 5 file_containing_extension, 6 all_extension_numbers_of_type,
    // 7 list_services. ServerReflectionResponse: 1 valid_host, 2 original_request, 4 files, 5 extension numbers, 6 services, 7 error.
    private byte[] Answer(byte[] request, EndpointDataSource endpoints)
    {
        var response = new ProtoWriter();
        try
        {
            var asked = 0;
            ReadOnlySpan<byte> argument = default;
            var fields = new ProtoReader(request);
            while (fields.Read())
            {
                switch (fields.Field)
                {
                    case 1:
                        response.Text(1, fields.Text);
                        break;
                    case >= 3 and <= 7:
                        asked = fields.Field;
                        argument = fields.Bytes;
                        break;
                }
            }

            response.Bytes(2, request);
            var text = System.Text.Encoding.UTF8.GetString(argument);
            switch (asked)
            {
                case 3:
                    WriteFiles(response, descriptors.FileNamed(text), $"There is no file {text}.");
                    break;
                case 4:
                    WriteFiles(response, descriptors.FileOf(text), $"There is no descriptor of {text}.");
                    break;
                case 5:
                    var (type, number) = ReadExtension(argument);
                    WriteFiles(response, descriptors.FileOf(type, number), $"There is no extension {number} of {type}.");
                    break;
                case 6:
                    WriteExtensionNumbers(response, text);
                    break;
                case 7:
                    WriteServices(response, endpoints);
                    break;
                default:
                    WriteError(response, GrpcStatus.Unimplemented, "This request asks for nothing that is known here.");
                    break;
            }
        }
        catch (FormatException fault)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, fault.Message);
        }

        return response.ToArray();
    }

    private void WriteFiles(ProtoWriter response, string? file, string missing)
    {
        if (file is null)
        {
            WriteError(response, GrpcStatus.NotFound, missing);
            return;
        }

        var files = new ProtoWriter();
        foreach (var bytes in descriptors.WithDependencies(file))
        {
            files.Bytes(1, bytes);
        }

        response.Bytes(4, files.Written);
    }

    private void WriteExtensionNumbers(ProtoWriter response, string type)
    {
        var numbers = descriptors.ExtensionsOf(type);
        if (numbers is null)
        {
            WriteError(response, GrpcStatus.NotFound, $"There is no descriptor of {type}.");
            return;
        }

        var answer = new ProtoWriter();
        answer.Text(1, type);
        foreach (var number in numbers)
        {
            answer.Number(2, (ulong)number);
        }

        response.Bytes(5, answer.Written);
    }

    private static void WriteServices(ProtoWriter response, EndpointDataSource endpoints)
    {
        var services = new ProtoWriter();
        foreach (var name in endpoints.Endpoints.Select(endpoint => endpoint.Metadata.GetMetadata<GrpcMethod>()?.Service).OfType<string>().Distinct().Order(StringComparer.Ordinal))
        {
            var service = new ProtoWriter();
            service.Text(1, name);
            services.Bytes(1, service.Written);
        }

        response.Bytes(6, services.Written);
    }

    private static void WriteError(ProtoWriter response, GrpcStatus status, string message)
    {
        var error = new ProtoWriter();
        error.Number(1, (ulong)status);
        error.Text(2, message);
        response.Bytes(7, error.Written);
    }

    private static (string Type, int Number) ReadExtension(ReadOnlySpan<byte> bytes)
    {
        var (type, number) = ("", 0);
        var fields = new ProtoReader(bytes);
        while (fields.Read())
        {
            (type, number) = fields.Field switch { 1 => (fields.Text, number), 2 => (type, (int)fields.Number), _ => (type, number) };
        }

        return (type, number);
    }
}
