"""The private servers and the fixtures built on them."""

import socket
import urllib.error
from pathlib import Path

import aio_pika
import aio_pika.exceptions
import aiormq
import aiormq.exceptions
import psycopg
import pytest

from chassis import topology
from contracts.message import SERVICES, Service
from local import install, postgres
from local.children import free_port
from local.postgres import Postgres
from local.rabbitmq import RabbitMQ
from tests import parts


def listeners(port: int) -> set[str]:
    """Local addresses on which the port accepts connections, as Linux tells."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in table]
    addresses = {row[1].partition(":")[0] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    return {socket.inet_ntoa(bytes.fromhex(address)[::-1]) for address in addresses}


def test_each_test_gets_an_empty_database_of_its_own(database: str, module_database: str) -> None:
    assert database != module_database
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_a_killed_postgres_keeps_what_was_committed(own_postgres: Postgres) -> None:
    url = postgres.create_database(own_postgres.url, "portal_billing")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE paid (amount bigint)")
        connection.execute("INSERT INTO paid VALUES (1250)")
    own_postgres.kill9()
    own_postgres.restart()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT amount FROM paid").fetchall() == [(1250,)]


def test_postgres_listens_on_loopback_alone_and_wants_its_password(own_postgres: Postgres) -> None:
    assert listeners(own_postgres.port) == {"127.0.0.1"}
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(f"postgresql://portal@127.0.0.1:{own_postgres.port}/postgres").close()


def test_a_database_that_exists_is_not_made_again(own_postgres: Postgres) -> None:
    first = postgres.create_database(own_postgres.url, "portal_todos")
    assert (
        postgres.create_database(own_postgres.url, "portal_todos") == first == own_postgres.database_url("portal_todos")
    )


def test_a_folder_its_user_cannot_reach_moves_the_cluster_elsewhere(tmp_path: Path) -> None:
    if postgres._server_user() is None:  # only root drops to another user
        return
    closed = tmp_path / "home-of-root"
    closed.mkdir(mode=0o700)
    server = postgres.start(closed / "postgres", free_port(), durable=False)
    cluster = (closed / "postgres" / "cluster").readlink()
    server.kill9()
    assert cluster.is_relative_to("/var/lib/customer-portal")
    postgres.remove(closed / "postgres")
    assert not cluster.exists()


async def test_a_service_uses_its_own_queues_and_not_a_neighbours(vhost: parts.Vhost) -> None:
    connection = await aio_pika.connect(vhost.url("billing"))
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange("portal.events", aio_pika.ExchangeType.TOPIC, durable=True)
        own = await channel.declare_queue("billing.customer", durable=True)
        await own.bind("portal.events", "identity.customer.#")
        with pytest.raises((aio_pika.exceptions.ChannelClosed, aiormq.exceptions.ChannelAccessRefused)):
            await channel.declare_queue("identity.on_invoice_paid", durable=True)


async def test_nobody_publishes_under_another_name(vhost: parts.Vhost) -> None:
    connection = await aio_pika.connect(vhost.url("todos"))
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("todos.assign", durable=True)
        exchange = channel.default_exchange
        await exchange.publish(aio_pika.Message(b"{}", user_id="portal_todos"), queue.name)
        assert (await queue.get()).user_id == "portal_todos"
        with pytest.raises(
            aiormq.exceptions.ChannelPreconditionFailed, match="user_id property set to 'portal_gateway'"
        ):
            await exchange.publish(aio_pika.Message(b"{}", user_id="portal_gateway"), queue.name)


async def test_a_killed_rabbitmq_keeps_users_and_confirmed_messages(own_rabbitmq: RabbitMQ) -> None:
    url = own_rabbitmq.url("portal_notifications")
    connection = await aio_pika.connect(url)
    async with connection:
        await (await connection.channel()).declare_queue("notifications.send", durable=True)
    # A confirm speaks for the message alone: that there is such a queue, RabbitMQ 3 writes down up to two seconds later.
    own_rabbitmq.restart()
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "notifications.send")
        own_rabbitmq.kill9()
    own_rabbitmq.restart()
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue("notifications.send")
        assert (await queue.get()).body == b"kept"


def test_rabbitmq_listens_on_loopback_alone(own_rabbitmq: RabbitMQ) -> None:
    assert listeners(own_rabbitmq.port) == {"127.0.0.1"}
    assert listeners(own_rabbitmq.management_port) == {"127.0.0.1"}


def test_a_vhost_is_gone_after_its_test(amqp: parts.Broker) -> None:
    with amqp.fresh_vhost() as vhost:
        assert amqp.management.call("GET", f"vhosts/{vhost.name}")["name"] == vhost.name
    with pytest.raises(urllib.error.HTTPError, match="404"):
        amqp.management.call("GET", f"vhosts/{vhost.name}")


def test_the_installer_finds_both_servers_here() -> None:
    assert {"postgresql", "rabbitmq-server"}.isdisjoint(install.missing())


@pytest.mark.parametrize("service", SERVICES)
async def test_each_services_user_may_declare_the_topology_of_its_service(vhost: parts.Vhost, service: Service) -> None:
    connection = await aiormq.connect(vhost.url(service))
    await topology.declare(await connection.channel(), service)
    await connection.close()
    declared = {queue["name"] for queue in vhost.management.call("GET", f"queues/{vhost.name}")}
    assert {queue.name for queue in topology.queues(service)} <= declared


async def test_a_queue_that_is_there_with_other_arguments_is_an_error(vhost: parts.Vhost) -> None:
    connection = await aiormq.connect(vhost.url("todos"))
    await (await connection.channel()).queue_declare("todos.dead", durable=True)
    with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed, match="inequivalent arg"):
        await topology.declare(await connection.channel(), "todos")
    await connection.close()


async def test_no_service_reads_the_commands_of_another(vhost: parts.Vhost) -> None:
    owner = await aio_pika.connect(vhost.url("identity"))
    async with owner:
        channel = await owner.channel()
        await channel.declare_queue("identity.sign_in", durable=True)
        stranger = await aio_pika.connect(vhost.url("todos"))
        async with stranger:
            other = await stranger.channel()
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused, match=r"access to queue 'identity\.sign_in'"):
                await (await other.get_queue("identity.sign_in", ensure=False)).get()
