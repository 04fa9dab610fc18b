"""A mail server: takes every mail, after a while, and says so on standard output."""

import asyncio
import sys

from aiosmtpd.smtp import SMTP


class Mailbox:
    def __init__(self, delay):
        self.delay = delay

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(self.delay)
        print("mail", envelope.rcpt_tos[0], flush=True)
        return "250 taken"


async def main(port, delay):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Mailbox(delay), hostname="localhost"), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
