using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Slipway.Grpc;

public static class GrpcServiceEndpoints
{
    /// <summary>Maps <c>grpc.health.v1.Health</c>.</summary>
    public static IEndpointConventionBuilder MapGrpcHealth(this IEndpointRouteBuilder endpoints, GrpcHealth health) => new Several([.. health.Map(endpoints)]);

    /// <summary>Maps <c>grpc.reflection.v1.ServerReflection</c> and its v1alpha, which older clients ask for.</summary>
    public static IEndpointConventionBuilder MapGrpcReflection(this IEndpointRouteBuilder endpoints, GrpcReflection reflection) => new Several([.. reflection.Map(endpoints)]);

    private sealed class Several(IReadOnlyList<IEndpointConventionBuilder> builders) : IEndpointConventionBuilder
    {
        public void Add(Action<EndpointBuilder> convention)
        {
            foreach (var builder in builders)
            {
                builder.Add(convention);
            }
        }

        public void Finally(Action<EndpointBuilder> finallyConvention)
        {
            foreach (var builder in builders)
            {
                builder.Finally(finallyConvention);
            }
        }
    }
}
